//go:build !race

package dataplane

// allocationsMax of a request.
const allocationsMax = 0

// streamOctets is how long a body is that shows whether memory grows with it.
const streamOctets = 64 << 20
