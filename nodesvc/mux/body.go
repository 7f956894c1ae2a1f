package mux

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/stead-io/stead/api/frames"
)

// body is the body of one request, as its handler reads it.
type body struct {
	stream   *stream
	id       uint64
	request  *http.Request
	expected atomic.Bool // the proxy waits for 100 (Continue), and may have it: no answer has begun

	mu     sync.Mutex
	length int64 // announced; less than 0: it was not
	piece  []byte
	total  int64
	err    error
}

// Read returns what has come. A body that is not as long as announced ends in an error.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(p) == 0 {
		return 0, b.err
	}
	for len(b.piece) == 0 && b.err == nil {
		b.fill()
	}
	if len(b.piece) == 0 {
		return 0, b.err
	}
	n := copy(p, b.piece)
	b.piece = b.piece[n:]
	return n, nil
}

func (b *body) fill() {
	out := b.stream.conn.out
	if b.expected.Load() {
		b.ask()
	}
	piece, grant, err := b.stream.flow.Take(0)
	if grant > 0 {
		out.Lock()
		out.Put(frames.AppendWindow(out.Queue(), b.id, grant))
		out.Release()
	}
	b.piece, b.err = piece, err
	b.total += int64(len(piece))
	if b.length >= 0 && (b.total > b.length || err == io.EOF && b.total < b.length) {
		b.piece, b.err = nil, io.ErrUnexpectedEOF
	}
	if b.length < 0 && err == io.EOF {
		b.takeTrailers()
	}
}

// ask has the proxy send the body, unless it does already. Behind the head of an answer nothing is asked for: that
// goes out under the same lock.
func (b *body) ask() {
	out, wanted := b.stream.conn.out, !b.stream.flow.Ready()
	out.Lock()
	if b.expected.Swap(false) && wanted {
		out.Put(frames.AppendHead(out.Queue(), b.id, 0, []byte("HTTP/1.1 100 Continue\r\n\r\n"), nil))
	}
	out.Release()
}

// takeTrailers gives the request what came behind the body.
func (b *body) takeTrailers() {
	if lines := b.stream.flow.Trailers(); len(lines) > 0 {
		if err := takeTrailers(b.request, lines); err != nil {
			b.err = err
		}
	}
}

// Close ends reading; the rest of the body is not wanted.
func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.piece = nil
	if b.err == nil {
		b.err = http.ErrBodyReadAfterClose
	}
	return nil
}
