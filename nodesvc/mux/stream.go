package mux

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/frames"
)

// stream is one request under way. It is used again for others of its connection; what the handler holds of
// it, body and answer, is not.
type stream struct {
	conn   *conn
	flow   frames.Flow
	id     uint64
	source bytes.Reader
	lines  *bufio.Reader
	fields bytes.Buffer // of the answer
	held   []byte       // of the answer's body

	context context.Context
	cancel  context.CancelFunc
}

func newStream(c *conn) *stream {
	return &stream{conn: c, lines: bufio.NewReader(nil)}
}

// begin takes the frame that opens the stream.
func (s *stream) begin(f *frames.Frame) error {
	s.id = f.Stream
	s.context, s.cancel = context.WithCancel(s.conn.base)
	s.flow.Begin(f.Stream, windowSize, s.conn.window)
	return s.flow.Deliver(f)
}

// giveUp ends a stream that the proxy has reset, unless it is another by now.
func (s *stream) giveUp(id uint64) {
	s.conn.out.Lock()
	defer s.conn.out.Unlock()
	if s.conn.streams[id] == s {
		s.cancel()
		s.flow.Fail(id, errGone)
	}
}

// serve runs the handler and ends the stream.
func (s *stream) serve() {
	a := &answer{stream: s, id: s.id, length: -1}
	defer func() {
		if fault := recover(); fault != nil {
			s.abort(a, fault)
		}
	}()
	r, err := s.request()
	if err != nil {
		a.request = &http.Request{Method: http.MethodGet}
		api.NewProblem(api.CodeBadRequest, "the request cannot be read: %v", err).WriteTo(a)
	} else {
		a.request = r
		s.setDeadlines(r)
		a.body, _ = r.Body.(*body)
		s.conn.server.handle(a, r)
	}
	if err := a.finish(); err != nil {
		s.breakOff(a)
	}
}

// request reads the head as net/http reads one from a connection; its body comes in frames.
func (s *stream) request() (*http.Request, error) {
	head, err := s.flow.AwaitHead() // it is there
	if err != nil {
		return nil, err
	}
	s.source.Reset(head)
	s.lines.Reset(&s.source)
	r, err := http.ReadRequest(s.lines)
	if err != nil {
		return nil, err
	}
	switch {
	case s.lines.Buffered() > 0 || s.source.Len() > 0:
		return nil, fmt.Errorf("octets follow the head")
	case r.ProtoMajor != 1 || r.ProtoMinor != 1:
		return nil, fmt.Errorf("it is %s", api.Clip(r.Proto))
	case r.Host == "":
		return nil, fmt.Errorf("it is for no host")
	case !clean(r.Header):
		return nil, fmt.Errorf("a header field holds what none may")
	}
	from := s.conn.upgrade
	r.RemoteAddr, r.TLS, r.Close = from.RemoteAddr, from.TLS, false
	r = r.WithContext(s.context)
	r.Body = http.NoBody
	if r.ContentLength != 0 {
		b := &body{stream: s, id: s.id, request: r, length: r.ContentLength}
		b.expected.Store(r.Header.Get("Expect") != "")
		r.Body = b
	}
	return r, nil
}

// clean reports whether names are tokens and values hold no control octets, which net/http's server looks at too.
func clean(header http.Header) bool {
	for name, values := range header {
		if strings.ContainsFunc(name, outsideToken) {
			return false
		}
		for _, value := range values {
			for i := range len(value) {
				if c := value[i]; c < ' ' && c != '\t' || c == 0x7F {
					return false
				}
			}
		}
	}
	return true
}

// outsideToken reports what no token holds (RFC 9110, section 5.6.2).
func outsideToken(c rune) bool {
	letterOrDigit := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
	return !letterOrDigit && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
}

// setDeadlines takes over the server's own, which are for a whole request and its answer.
func (s *stream) setDeadlines(r *http.Request) {
	server, _ := r.Context().Value(http.ServerContextKey).(*http.Server)
	if server == nil {
		return
	}
	if server.ReadTimeout > 0 {
		s.flow.SetTakeDeadline(time.Now().Add(server.ReadTimeout))
	}
	if server.WriteTimeout > 0 {
		s.flow.SetSendDeadline(time.Now().Add(server.WriteTimeout))
	}
}

// abort ends a stream whose handler panicked.
func (s *stream) abort(a *answer, fault any) {
	if fault != http.ErrAbortHandler {
		s.conn.server.logger.Error("handler panicked", "panic", fault, "stack", string(debug.Stack()))
	}
	s.breakOff(a)
}

// breakOff ends a stream whose answer must not look whole.
func (s *stream) breakOff(a *answer) {
	s.end(a, false, func(queue []byte) []byte { return frames.AppendReset(queue, a.id, frames.CodeFailed) })
}

// end puts the last frame of a stream in line, and has the stream used again. Nothing the handler may have
// left behind touches it from here on.
func (s *stream) end(a *answer, whole bool, last func([]byte) []byte) {
	c := s.conn
	a.over.Store(true)
	s.flow.Fail(a.id, http.ErrBodyReadAfterClose)
	if a.body != nil {
		_ = a.body.Close()
	}
	s.cancel()
	c.out.Lock()
	c.out.Put(last(c.out.Queue()))
	if whole && !s.flow.Ended() {
		c.out.Put(frames.AppendReset(c.out.Queue(), a.id, frames.CodeDone))
	}
	c.forget(s, a.id)
	c.out.Release()
}
