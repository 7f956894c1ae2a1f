package h2

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// Stream is a client's request in HTTP/2 as a connection in HTTP/1.1: what is read is its message, what is written its
// answer. One goroutine may read while another writes.
type Stream struct {
	conn    net.Conn
	request *http.Request
	control *http.ResponseController

	before  []byte // octets of the message that come before more of the body
	chunked bool
	ended   bool // the body was read to its end
	fault   error
	reading limit

	answer  answer
	writing limit
	takeBy  time.Time // when what was written last is to be taken; zero: at any time

	closed atomic.Bool
}

func newStream(conn net.Conn, w http.ResponseWriter, r *http.Request) *Stream {
	s := &Stream{conn: conn, request: r, control: http.NewResponseController(w), chunked: r.ContentLength < 0}
	s.before, s.fault = appendHead(nil, r)
	s.answer = answer{to: w, control: s.control, head: r.Method == http.MethodHead}
	past := time.Unix(1, 0)
	s.reading.expire = func() { _ = s.control.SetReadDeadline(past) }
	s.writing.expire = func() { _ = s.control.SetWriteDeadline(past) }
	return s
}

// Fault is why the stream carries no request; Read has nothing to give then. It is a wire.SyntaxError, or nil.
func (s *Stream) Fault() error { return s.fault }

// Context is over when the client has given the request up, or its connection has ended.
func (s *Stream) Context() context.Context { return s.request.Context() }

// end is the end of the stream, for whoever has served it. An answer that is not whole is cut short visibly; one whose
// last octets are yet to be taken has as long for them as for the others of the last Write.
func (s *Stream) end() {
	s.closed.Store(true)
	if !s.answer.done() {
		panic(http.ErrAbortHandler) // as net/http wants to be told: it resets the stream
	}
	if s.answer.holdsBack() && !s.takeBy.IsZero() {
		_ = s.control.SetWriteDeadline(s.takeBy)
	}
}

// Read reads the message, as HTTP/1.1 has it.
func (s *Stream) Read(p []byte) (int, error) {
	switch {
	case s.closed.Load():
		return 0, net.ErrClosed
	case s.fault != nil:
		return 0, s.fault
	case len(s.before) > 0:
		n := copy(p, s.before)
		s.before = s.before[n:]
		return n, nil
	case s.ended:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	if err := s.reading.begin(); err != nil {
		return 0, err
	}
	defer s.reading.end()
	if s.chunked {
		return s.readChunk(p)
	}
	n, err := s.readBody(p)
	s.ended = err == io.EOF
	return n, err
}

// readBody is for octets of the body alone; io.ErrUnexpectedEOF where the client went before its end.
func (s *Stream) readBody(p []byte) (int, error) {
	n, err := s.request.Body.Read(p)
	if gone(err) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Of a chunk, as readChunk frames it.
const (
	chunkSizeLine = len("1fff\r\n")
	chunkMax      = 0x1fff
	chunkFraming  = chunkSizeLine + len("\r\n")
)

// readChunk reads octets of the body, as one chunk. Where there is no room for one it makes room of its own.
func (s *Stream) readChunk(p []byte) (int, error) {
	if len(p) <= chunkFraming {
		room := make([]byte, 2*chunkFraming)
		n, err := s.readChunk(room)
		taken := copy(p, room[:n])
		s.before = append(room[taken:n:n], s.before...)
		return taken, err
	}
	end := min(len(p)-len("\r\n"), chunkSizeLine+chunkMax)
	n, err := s.readBody(p[chunkSizeLine:end])
	switch {
	case n > 0:
		copy(p, fmt.Sprintf("%04x\r\n", n))
		copy(p[chunkSizeLine+n:], "\r\n")
		if err == io.EOF {
			s.endChunks()
		}
		return chunkFraming + n, nil
	case err == io.EOF:
		s.endChunks()
		n = copy(p, s.before)
		s.before = s.before[n:]
		return n, nil
	default:
		return 0, err
	}
}

// endChunks is what follows the last octets of the body: the trailers that were announced.
func (s *Stream) endChunks() {
	s.ended = true
	s.before = append(appendTrailers([]byte("0\r\n"), s.request.Trailer), "\r\n"...)
}

// Write takes octets of the answer, as HTTP/1.1 has it. They are with the client's connection when it returns, but for
// the end of the answer, which goes out with the end of the stream.
func (s *Stream) Write(p []byte) (int, error) {
	if s.closed.Load() {
		return 0, net.ErrClosed
	}
	if err := s.writing.begin(); err != nil {
		return 0, err
	}
	defer s.writing.end()
	if err := s.answer.take(p); err != nil {
		return 0, err
	}
	s.takeBy = s.writing.time()
	s.reading.postpone(s.takeBy)
	return len(p), nil
}

// Close ends the stream, and wakes up who reads or writes.
func (s *Stream) Close() error {
	s.closed.Store(true)
	return s.SetDeadline(time.Unix(1, 0))
}

// LocalAddr and RemoteAddr are those of the client's connection.
func (s *Stream) LocalAddr() net.Addr  { return s.conn.LocalAddr() }
func (s *Stream) RemoteAddr() net.Addr { return s.conn.RemoteAddr() }

// SetDeadline, SetReadDeadline and SetWriteDeadline are those of a net.Conn. A stream that ran out of time is of no use any more.
func (s *Stream) SetDeadline(at time.Time) error {
	s.reading.set(at)
	s.writing.set(at)
	return nil
}

func (s *Stream) SetReadDeadline(at time.Time) error  { s.reading.set(at); return nil }
func (s *Stream) SetWriteDeadline(at time.Time) error { s.writing.set(at); return nil }

var _ net.Conn = (*Stream)(nil)
