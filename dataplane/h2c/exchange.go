package h2c

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"

	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/dataplane/forward"
	"github.com/stead-io/stead/dataplane/socket"
	"github.com/stead-io/stead/dataplane/wire"
)

// pieceMax is what one reading of an answer's body takes at most.
const pieceMax = 16 << 10

var pieces = socket.NewBuffers(pieceMax)

// exchange carries one request; while it does, it is the answer.
type exchange struct {
	conn    *http.ClientConn
	request *forward.Request
	ctx     context.Context // the cause of its end says who ended it
	cancel  context.CancelCauseFunc
	watch   watch

	upload   *upload // nil: the request goes out whole
	whole    *whole  // its body then; nil: it has none
	interims interims
	response *http.Response
	head     wire.Answer
	buffer   *[]byte
	finished bool // the answer was read to its end
}

func newExchange(ctx context.Context, conn *http.ClientConn, r *forward.Request) *exchange {
	e := &exchange{conn: conn, request: r}
	e.ctx, e.cancel = context.WithCancelCause(ctx)
	e.interims.client = r.Client
	return e
}

// abandoned is an exchange whose client has left.
type abandoned exchange

func (a *abandoned) Close() error {
	a.cancel(forward.ErrClientGone)
	return nil
}

// send sends the request and waits for the head of its answer. With again, nothing speaks against sending it once more
// where a failure stands.
func (e *exchange) send(scheme string) (failure *forward.Failure, again bool) {
	request, err := newRequest(e.request, scheme)
	if err == nil && e.request.Client != nil && !e.request.Client.Hold((*abandoned)(e)) {
		e.cancel(forward.ErrClientGone)
		err = forward.ErrClientGone
	}
	if err != nil {
		e.conn.Release()
		return e.settle(err)
	}
	e.watch.start(e.request.Deadline, func() { e.cancel(errSilent) })
	e.attach(request)
	request = request.WithContext(httptrace.WithClientTrace(e.ctx, &httptrace.ClientTrace{Got1xxResponse: e.interims.take}))
	e.response, err = e.conn.RoundTrip(request)
	e.interims.end()
	if err == nil {
		e.watch.answered()
		err = e.head.Parse(appendAnswer(nil, e.response, e.request.HeadOnly))
	}
	if err != nil {
		return e.settle(err)
	}
	if e.request.HeadOnly {
		e.head.NoBody()
	}
	e.finished = e.head.Length == 0
	e.buffer = pieces.Take()
	return nil, false
}

// attach gives the request its body.
func (e *exchange) attach(request *http.Request) {
	body := e.request.Body
	switch {
	case body == nil || request.ContentLength == 0:
	case body.Ended() && body.Replayable():
		e.whole = &whole{octets: body.Kept()}
		request.Body = e.whole
		fillTrailers(request.Trailer, body.Trailers())
	default:
		e.upload = newUpload(e, request)
	}
}

// settle gives the exchange up.
func (e *exchange) settle(err error) (*forward.Failure, bool) {
	if e.upload != nil {
		e.request.Stop(e.request.Safe || unprocessed(err) || transport.Refused(err))
		e.upload.finish()
	}
	if !e.release() {
		e.cancel(forward.ErrClientGone)
	}
	failure, again := e.failed(err)
	e.Close()
	return failure, again
}

// release tells the client that the exchange is its no more; false if it has left before.
func (e *exchange) release() bool {
	if e.request == nil || e.request.Client == nil {
		return true
	}
	return e.request.Client.Hold(nil)
}

// Head is the head of the answer.
func (e *exchange) Head() *wire.Answer { return &e.head }

// Ready reports that the answer has come to its end: of what is on its way net/http does not tell.
func (e *exchange) Ready() bool { return e.finished }

// Next returns the next octets of the body; io.EOF behind the last.
func (e *exchange) Next() ([]byte, error) {
	if e.finished {
		return nil, io.EOF
	}
	e.watch.begin(e.request.Patience)
	n, err := e.response.Body.Read(*e.buffer)
	e.watch.end()
	if err == io.EOF {
		e.finished = true
		if n > 0 {
			err = nil
		}
	}
	return (*e.buffer)[:n], err
}

// Trailers are the lines to pass on behind the body.
func (e *exchange) Trailers() []byte {
	if len(e.response.Trailer) == 0 {
		return nil
	}
	return wire.AppendTrailers(nil, appendFields(nil, e.response.Trailer), &wire.Head{})
}

// Uploaded reports whether the node has been sent the whole request.
func (e *exchange) Uploaded() bool { return e.upload == nil || e.upload.Over() }

// Close ends the exchange, wherever it stands.
func (e *exchange) Close() {
	if e.upload != nil {
		e.upload.finish()
		e.upload = nil
	}
	e.release()
	e.watch.end()
	e.cancel(errOver)
	if e.whole != nil {
		_ = e.whole.Close()
	}
	if e.response != nil {
		_ = e.response.Body.Close()
	}
	if e.buffer != nil {
		pieces.Return(e.buffer)
		e.buffer = nil
	}
}
