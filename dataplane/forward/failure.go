package forward

// Stage says how far a request had come when it failed.
type Stage uint8

const (
	// NotConnected: no connection to the node; nothing was sent.
	NotConnected Stage = iota + 1
	// NotAnswered: the connection broke before the first byte of an answer.
	NotAnswered
	// Broken: the answer is malformed, or ended within its head.
	Broken
	// TimedOut: the answer did not come in time.
	TimedOut
	// ClientFailed: the body could not be read from the client; the node saw it cut short.
	ClientFailed
	// ClientGone: the client left; the node, if it was sent anything, saw the connection end.
	ClientGone
)

// Failure is the error of a request that got no answer.
type Failure struct {
	Stage Stage
	Err   error

	written int64 // octets that went out
}

func (f *Failure) Error() string { return f.Err.Error() }

func (f *Failure) Unwrap() error { return f.Err }

// mayRepeat decides whether a request that failed on a connection used before is sent once more,
// on a fresh one (RFC 9110, section 9.2.2; RFC 9112, section 9.3.1): only if the node most likely
// closed the idle connection before it saw the request, and if running it twice would do no harm
// should that guess be wrong.
func mayRepeat(failure *Failure, safe, replayable bool) bool {
	return failure.Stage == NotAnswered && replayable && (safe || failure.written == 0)
}
