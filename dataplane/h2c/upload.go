package h2c

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stead-io/stead/dataplane/forward"
	"github.com/stead-io/stead/dataplane/wire"
)

const (
	uploadPiece = 32 << 10
	// lastWordsWait bounds the wait for an upload whose source is at its end: the answer may overtake its last words.
	lastWordsWait = 50 * time.Millisecond
)

// upload hands a body over to net/http beside the reading of the answer: what waits for the client is here, so that
// net/http never does. It ends by itself or by finish, which waits for it.
type upload struct {
	exchange *exchange
	body     *forward.Body
	trailer  http.Header // of net/http's request; that it reads whenever it likes until it has the whole body
	late     []byte      // lines of trailers, to be read behind the body
	reader   *io.PipeReader
	writer   *io.PipeWriter

	begin     sync.Once
	done      chan struct{}
	halted    atomic.Bool
	exhausted atomic.Bool // the body's source has given all
	sent      bool        // net/http has the whole body; read behind done
}

func newUpload(e *exchange, request *http.Request) *upload {
	u := &upload{exchange: e, body: e.request.Body, trailer: request.Trailer, done: make(chan struct{})}
	u.reader, u.writer = io.Pipe()
	request.Body = (*uploaded)(u)
	return u
}

// uploaded is the body as net/http reads it: from when the head is sent on, so that nobody waits for the client of a request
// that is to go another way. With its end come the trailers.
type uploaded upload

func (u *uploaded) Read(p []byte) (int, error) {
	u.begin.Do(func() { go (*upload)(u).run() })
	n, err := u.reader.Read(p)
	if err == io.EOF {
		fillTrailers(u.trailer, u.late)
	}
	return n, err
}

func (u *uploaded) Close() error { return u.reader.Close() }

// finish stops the upload and waits for it.
func (u *upload) finish() {
	u.halted.Store(true)
	_ = u.reader.CloseWithError(errHalted)
	u.begin.Do(func() { close(u.done) })
	<-u.done
}

// over reports whether the whole body has been handed over.
func (u *upload) over() bool {
	if u.exhausted.Load() {
		timer := time.NewTimer(lastWordsWait)
		defer timer.Stop()
		select {
		case <-u.done:
		case <-timer.C:
		}
	}
	select {
	case <-u.done:
		return u.sent
	default:
		return false
	}
}

func (u *upload) run() {
	defer close(u.done)
	if !u.write(u.body.Kept()) {
		return
	}
	for !u.body.Ended() {
		u.exchange.watch.pause()
		piece, err := u.body.More(uploadPiece)
		if err != nil {
			_ = u.writer.CloseWithError(err) // a reset: the node must not take what it has for the whole
			return
		}
		u.exhausted.Store(u.body.Ended())
		if u.halted.Load() || !u.write(piece) {
			return
		}
	}
	u.late = u.body.Trailers()
	u.exchange.watch.extend(u.exchange.request.Wait)
	u.sent = u.writer.Close() == nil
}

func (u *upload) write(piece []byte) bool {
	if len(piece) == 0 {
		return true
	}
	u.exchange.watch.extend(u.exchange.request.Patience)
	_, err := u.writer.Write(piece)
	return err == nil
}

// fillTrailers takes the trailers that came behind a body.
func fillTrailers(trailer http.Header, lines []byte) {
	if trailer != nil {
		_ = wire.EachTrailer(lines, func(name, value []byte) { trailer.Add(string(name), string(value)) })
	}
}
