package h2c

import (
	"io"
	"net/http"

	"github.com/stead-io/stead/dataplane/forward"
	"github.com/stead-io/stead/dataplane/wire"
)

const uploadPiece = 32 << 10

// upload hands a body over to net/http: what waits for the client is here, so that net/http never does.
type upload struct {
	forward.Sending
	exchange *exchange
	body     *forward.Body
	trailer  http.Header // of net/http's request; that it reads whenever it likes until it has the whole body
	late     []byte      // lines of trailers, to be read behind the body
	reader   *io.PipeReader
	writer   *io.PipeWriter
}

func newUpload(e *exchange, request *http.Request) *upload {
	u := &upload{exchange: e, body: e.request.Body, trailer: request.Trailer}
	u.reader, u.writer = io.Pipe()
	u.Prepare(u.body)
	request.Body = (*uploaded)(u)
	return u
}

// uploaded is the body as net/http reads it: from when the head is sent on, so that nobody waits for the client of a request
// that is to go another way. With its end come the trailers.
type uploaded upload

func (u *uploaded) Read(p []byte) (int, error) {
	u.Start((*upload)(u).run)
	n, err := u.reader.Read(p)
	if err == io.EOF {
		fillTrailers(u.trailer, u.late)
	}
	return n, err
}

func (u *uploaded) Close() error { return u.reader.Close() }

// finish stops the upload and waits for it.
func (u *upload) finish() {
	_ = u.reader.CloseWithError(errHalted)
	u.Finish()
}

func (u *upload) run() bool {
	watch := &u.exchange.watch
	watch.pause()
	for piece, err := range u.Pieces(uploadPiece) {
		if err != nil {
			_ = u.writer.CloseWithError(err) // a reset: the node must not take what it has for the whole
			return false
		}
		watch.extend(u.exchange.request.Patience)
		if _, err := u.writer.Write(piece); err != nil {
			return false
		}
		watch.pause()
	}
	if !u.Whole() {
		return false
	}
	u.late = u.body.Trailers()
	watch.extend(u.exchange.request.Wait)
	return u.writer.Close() == nil
}

// fillTrailers takes the trailers that came behind a body.
func fillTrailers(trailer http.Header, lines []byte) {
	if trailer != nil {
		_ = wire.EachTrailer(lines, func(name, value []byte) { trailer.Add(string(name), string(value)) })
	}
}
