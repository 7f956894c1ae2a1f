//go:build race

package simulation

// raced: the race detector makes runs ten times slower.
const raced = true
