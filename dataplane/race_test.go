//go:build race

package dataplane

// allocationsMax of a request: the race detector has every sync.Pool forget some of what it is given.
const allocationsMax = 8

// streamOctets is how long a body is that shows whether memory grows with it: longer than memoryGrowthMax.
const streamOctets = 32 << 20
