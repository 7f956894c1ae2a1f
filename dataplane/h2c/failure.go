package h2c

import (
	"context"
	"errors"

	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/dataplane/forward"
	"github.com/stead-io/stead/dataplane/wire"
)

var (
	errClosed = errors.New("the transport is closed")
	errSilent = errors.New("the node did not go on in time")
	errHalted = errors.New("the rest of the request is not wanted")
	errOver   = errors.New("the exchange is over")
)

// codeRefused is REFUSED_STREAM (RFC 9113, section 7): the node has not looked at the request.
const codeRefused = 7

// streamError is what net/http's errors of one stream can be had as: whoever has this shape is filled in.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e streamError) Error() string { return "the node reset the stream" }

// unprocessed reports errors that say that the node has not looked at the request: it was refused, or it came behind
// the last one that the node took before it began to go away, or the connection had ended before. net/http has no names
// for the latter.
func unprocessed(err error) bool {
	var reset streamError
	if errors.As(err, &reset) {
		return reset.Code == codeRefused
	}
	return wentAway(err) || unusable(err)
}

// wentAway reports that a node had begun to go away before it saw the request.
func wentAway(err error) bool {
	return err.Error() == "http2: Transport received Server's graceful shutdown GOAWAY"
}

// unusable reports that the connection took no request any more when this one was to be sent.
func unusable(err error) bool {
	switch err.Error() {
	case "http2: client conn not usable", "http2: client conn is closed", "http2: client conn could not be established":
		return true
	default:
		return false
	}
}

// failed tells what went wrong, and whether nothing speaks against sending the request again.
func (e *exchange) failed(err error) (*forward.Failure, bool) {
	r := e.request
	failure := &forward.Failure{Stage: e.stageOf(err), Err: err}
	if failure.Stage == forward.TimedOut {
		e.abandonConnection()
	}
	replayable := r.Body == nil || r.Body.Replayable()
	return failure, failure.Stage == forward.NotAnswered && replayable && (unprocessed(err) || r.Safe)
}

func (e *exchange) stageOf(err error) forward.Stage {
	var syntax wire.SyntaxError
	var reset streamError
	switch cause := context.Cause(e.ctx); {
	case e.request.Body != nil && e.request.Body.Err() != nil:
		return forward.ClientFailed
	case errors.Is(cause, forward.ErrClientGone):
		return forward.ClientGone
	case errors.Is(cause, errSilent):
		return forward.TimedOut
	case unprocessed(err):
		return forward.NotAnswered
	case transport.Refused(err):
		return forward.NotConnected
	case errors.As(err, &syntax), errors.As(err, &reset):
		return forward.Broken
	default:
		return forward.NotAnswered
	}
}

// abandonConnection has no further request go where one was not answered, if nothing else is answered there either.
func (e *exchange) abandonConnection() {
	if e.conn.InFlight() <= 1 {
		_ = e.conn.Close()
	}
}
