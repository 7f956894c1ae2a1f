package webhooks

import "time"

// When a delivery that failed is tried again: a random time below retryStart·2^n, at most retryMost. The
// half of it that is not random keeps a receiver that is down from being hammered.
const (
	retryStart   = 500 * time.Millisecond
	retryMost    = time.Minute
	doublingsMax = 10
)

// retryAfter is the pause behind the n-th failure in a row, from 1; random is in [0, 1).
func retryAfter(failures int, random float64) time.Duration {
	span := min(retryMost, retryStart<<min(failures-1, doublingsMax))
	return span/2 + time.Duration(random*float64(span/2))
}
