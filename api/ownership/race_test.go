//go:build race

package ownership_test

// raced: the race detector makes searches ten times slower.
const raced = true
