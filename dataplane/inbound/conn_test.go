package inbound

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/dataplane/socket"
	"github.com/stead-io/stead/dataplane/wire"
)

// cutSocket is a socket whose reads return pieces of a text.
type cutSocket struct {
	net.Conn
	text  string
	piece int
	taken int // octets of the text
	sent  bytes.Buffer
}

func (s *cutSocket) Read(p []byte) (int, error) {
	if s.text == "" {
		return 0, io.EOF
	}
	n := copy(p, s.text[:min(s.piece, len(s.text))])
	s.text, s.taken = s.text[n:], s.taken+n
	return n, nil
}

func (s *cutSocket) Write(p []byte) (int, error)      { return s.sent.Write(p) }
func (s *cutSocket) SetReadDeadline(time.Time) error  { return nil }
func (s *cutSocket) SetWriteDeadline(time.Time) error { return nil }

// passed reads message after message through a Conn, and returns what it took for each and why it stopped.
func passed(text string, piece, buffer int) (messages []string, err error) {
	return passedInto(text, piece, buffer, func(int) int { return buffer })
}

// passedInto is passed with pieces of their own size for each message's body.
func passedInto(text string, piece, headMax int, buffer func(message int) int) (messages []string, err error) {
	peer := &cutSocket{text: text, piece: piece}
	config := Config{HeadMax: headMax, BodyMax: 1 << 40, IdleTimeout: time.Hour, HeadTimeout: time.Hour, StreamTimeout: time.Hour}
	conn := &Conn{Conn: peer, server: &Server{config: config, buffers: socket.NewBuffers(headMax + bodyRoom)}}
	for {
		if err := conn.next(); err != nil {
			return messages, err
		}
		begin := peer.taken - len(conn.unread()) - (conn.floor - headStart(conn))
		for p := make([]byte, buffer(len(messages))); err == nil && conn.left != 0; {
			_, err = (*body)(conn).Read(p)
		}
		messages = append(messages, text[begin:peer.taken-len(conn.unread())])
		if conn.left != 0 {
			return messages, err
		}
		err = nil
		conn.within = false
		conn.release()
		conn.active.Store(false)
	}
}

// headStart is where the head under way begins in the buffer, whose array it shares.
func headStart(c *Conn) int { return cap(*c.buffer) - cap(c.head.Method) }

func TestConnPassesMessages(t *testing.T) {
	put := "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
	chunked := "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
	get := "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	f := func(text string, want []string, wantErr error) {
		t.Helper()
		for _, piece := range []int{1, 2, 7, 50, 1 << 20} {
			got, err := passed(text, piece, 1024)
			if strings.Join(got, "|") != strings.Join(want, "|") || !errors.Is(err, wantErr) {
				t.Errorf("%q in pieces of %d: got %q, %v", text, piece, got, err)
			}
		}
	}
	f(get, []string{get}, io.EOF)
	f("\r\n"+get, []string{get}, io.EOF)
	f(put+chunked+get+"\r\n"+put, []string{put, chunked, get, put}, io.EOF)
	f(get+"GET", []string{get}, ErrTruncated)
	f(get+put[:len(put)-1], []string{get, put[:len(put)-1]}, ErrTruncated)
	f(get+"GET /"+strings.Repeat("x", 1024)+" HTTP/1.1\r\nHost: h\r\n\r\n", []string{get}, ErrHeadTooLarge)
	for _, bad := range []string{"GET / HTTP/1.1\nHost: h\r\n\r\n", "\r\n\r\n" + get} {
		got, err := passed(get+bad+get, 1<<20, 1024)
		var syntax wire.SyntaxError
		if len(got) != 1 || got[0] != get || !errors.As(err, &syntax) {
			t.Errorf("%q: got %q, %v", bad, got, err)
		}
	}
}

// TestOctetsReadAheadOutlastABuffer: a long buffer takes in many messages; they come out in order.
func TestOctetsReadAheadOutlastABuffer(t *testing.T) {
	get := "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	got, err := passedInto(strings.Repeat(get, 50), 1<<20, 1<<16, func(message int) int {
		if message == 0 {
			return 1 << 16
		}
		return len(get) + 10
	})
	if len(got) != 50 || got[49] != get || err != io.EOF {
		t.Fatalf("got %d messages, %v", len(got), err)
	}
}

// FuzzConn: however a stream is cut, the same messages pass, and they are what came in, but for
// empty lines between them.
func FuzzConn(f *testing.F) {
	f.Add("GET / HTTP/1.1\r\nHost: h\r\n\r\nPUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi\r\nGET", 3)
	f.Add("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\r\n\r\nGET / HTTP/1.1\n\n", 5)
	f.Fuzz(func(t *testing.T, text string, piece int) {
		if piece < 1 {
			piece = 1
		}
		whole, wholeErr := passed(text, 1<<20, 512)
		cut, cutErr := passed(text, piece, 512)
		if strings.Join(whole, "|") != strings.Join(cut, "|") || wholeErr != cutErr {
			t.Fatalf("%q passes as %q (%v), in pieces of %d as %q (%v)", text, whole, wholeErr, piece, cut, cutErr)
		}
		rest := text
		for _, message := range whole {
			rest = strings.TrimPrefix(rest, "\r\n")
			after, found := strings.CutPrefix(rest, message)
			if !found {
				t.Fatalf("%q passes as %q", text, whole)
			}
			rest = after
		}
	})
}
