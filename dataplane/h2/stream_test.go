package h2

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stead-io/stead/dataplane/wire"
)

// TestStreamReads: a message in HTTP/1.1, whatever there is room for at a time.
func TestStreamReads(t *testing.T) {
	f := func(room int, body string, length int64) {
		t.Helper()
		r := httptest.NewRequest("PUT", "/a", iotest.DataErrReader(strings.NewReader(body)))
		r.Host, r.ContentLength, r.Trailer = "h", length, http.Header{"X-Sum": {"7"}}
		stream := newStream(nil, httptest.NewRecorder(), r)
		var all strings.Builder
		for piece := make([]byte, room); ; {
			n, err := stream.Read(piece)
			all.Write(piece[:n])
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		head, rest := all.String()[:wire.HeadLength([]byte(all.String()))], all.String()[wire.HeadLength([]byte(all.String())):]
		if !strings.HasPrefix(head, "PUT /a HTTP/1.1\r\nHost: h\r\n") {
			t.Errorf("the head is %q", head)
		}
		if length >= 0 {
			if rest != body {
				t.Errorf("the body is %q", rest)
			}
			return
		}
		var chunks wire.Chunks
		got := ""
		for len(rest) > 0 && !chunks.Done() {
			n, piece, err := chunks.Next([]byte(rest))
			if err != nil {
				t.Fatalf("%v in %q", err, rest)
			}
			got, rest = got+string(piece), rest[n:]
		}
		if got != body || !chunks.Done() || rest != "" || string(chunks.Trailers()) != "X-Sum: 7\r\n" {
			t.Errorf("with room for %d the body is %.40q, trailers %q, behind it %q", room, got, chunks.Trailers(), rest)
		}
	}
	f(1, "body", -1)
	f(1, "body", 4)
	for _, room := range []int{7, 8, 9, 16, 100, 20_000} {
		for _, body := range []string{"", "a", strings.Repeat("body", 10), strings.Repeat("x", 9_000)} {
			f(room, body, -1)
			f(room, body, int64(len(body)))
		}
	}
}

// TestStreamAnswers: an answer in whatever pieces, and nothing behind it.
func TestStreamAnswers(t *testing.T) {
	f := func(octets string, size int, want string, wantDone bool) {
		t.Helper()
		to := httptest.NewRecorder()
		stream := newStream(nil, to, httptest.NewRequest("GET", "/", nil))
		for rest := octets; rest != ""; {
			piece := rest[:min(size, len(rest))]
			if _, err := stream.Write([]byte(piece)); err != nil {
				t.Fatal(err)
			}
			rest = rest[len(piece):]
		}
		if to.Body.String() != want || stream.answer.done() != wantDone {
			t.Errorf("%q in pieces of %d: %q, done %v", octets, size, to.Body, stream.answer.done())
		}
	}
	for _, size := range []int{1, 3, 1000} {
		f("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", size, "body", true)
		f("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbody", size, "body", false)
		f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX: y\r\n\r\n", size, "body", true)
		f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n", size, "body", false)
		f("HTTP/1.1 204 No Content\r\n\r\n", size, "", true)
		f("HTTP/1.1 200 OK\r\nContent-L", size, "", false)
	}
	for _, octets := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody+", "HTTP/1.1 204 No\r\n\r\n+", "HTTP/1.1 200 OK\r\n\r\nbody",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n+", "nonsense\r\n\r\n", strings.Repeat("x", answerHeadMax+1),
	} {
		stream := newStream(nil, httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		if _, err := stream.Write([]byte(octets)); err == nil {
			t.Errorf("%.60q passes", octets)
		}
	}
}

// TestLimit: a call ends when its time is over, and only a call.
func TestLimit(t *testing.T) {
	ended := make(chan struct{}, 1)
	l := limit{expire: func() { ended <- struct{}{} }}
	l.set(time.Now().Add(time.Millisecond))
	l.set(time.Time{})
	if err := l.begin(); err != nil {
		t.Fatal(err)
	}
	l.set(time.Now().Add(time.Millisecond))
	<-ended
	l.end()
	if err := l.begin(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	l.set(time.Now().Add(time.Hour))
	if err := l.begin(); err != nil {
		t.Fatal(err)
	}
	l.end()
	l.set(time.Unix(1, 0))
	select {
	case <-ended:
		t.Error("what nobody waits for has ended")
	default:
	}
}
