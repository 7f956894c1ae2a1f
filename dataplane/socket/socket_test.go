//go:build linux && (amd64 || arm64)

package socket

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

const patience = 10 * time.Second

// pair is two ends of a connection, the first as a Socket.
func pair(t *testing.T) (*Socket, *net.TCPConn, *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	near, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for _, conn := range []net.Conn{near, far} {
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(patience))
	}
	return Of(near), near.(*net.TCPConn), far.(*net.TCPConn)
}

func write(t *testing.T, to net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(to, text); err != nil {
		t.Fatal(err)
	}
}

// arrived waits until octets, or the end, wait to be read.
func arrived(t *testing.T, s *Socket) {
	t.Helper()
	err := s.raw.Read(func(fd uintptr) bool {
		n, errno := transfer(syscall.SYS_RECVFROM, fd, make([]byte, 1), syscall.MSG_PEEK)
		return n > 0 || errno == 0
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestReceive(t *testing.T) {
	s, near, far := pair(t)
	buffers := NewBuffers(4)
	f := func(want string, wantErr error) {
		t.Helper()
		buffer, n, err := s.Receive(buffers)
		if !errors.Is(err, wantErr) || (buffer != nil) != (want != "") {
			t.Fatalf("got %v, %v, want %q, %v", buffer, err, want, wantErr)
		}
		if buffer != nil && string((*buffer)[:n]) != want {
			t.Errorf("got %q, want %q", (*buffer)[:n], want)
		}
	}
	write(t, far, "abcdef")
	f("abcd", nil)
	f("ef", nil)
	time.AfterFunc(10*time.Millisecond, func() { _, _ = io.WriteString(far, "later") })
	f("late", nil)
	f("r", nil)
	_ = near.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	f("", os.ErrDeadlineExceeded)
	_ = near.SetReadDeadline(time.Now().Add(patience))
	_ = far.Close()
	f("", io.EOF)
	_ = near.Close()
	f("", net.ErrClosed)
}

// TestAsk: a request goes out, and its answer comes back, also in two parts and on a fresh connection where it came
// before it was asked for.
func TestAsk(t *testing.T) {
	s, near, far := pair(t)
	answers, request := NewBuffers(16), make([]byte, 16)
	f := func(used bool, want string) {
		t.Helper()
		sent, err := s.Ask([]byte("ask"), answers, used)
		if err != nil || sent.Stale || sent.Written != 3 || string((*sent.Buffer)[:sent.Read]) != want {
			t.Fatalf("got %+v, %v", sent, err)
		}
		answers.Return(sent.Buffer)
	}
	more := func(want string) {
		t.Helper()
		if buffer, n, err := s.Receive(answers); err != nil || string((*buffer)[:n]) != want {
			t.Fatalf("got %v, %v", buffer, err)
		}
	}
	write(t, far, "early")
	arrived(t, s)
	f(false, "early")
	served := make(chan error, 1)
	go func() {
		for range 100 {
			if _, err := io.ReadFull(far, request[:3]); err != nil {
				served <- err
				return
			}
			_, _ = io.WriteString(far, "answer")
		}
		_, err := io.ReadFull(far, request[:3])
		served <- err
	}()
	more("answer")
	for range 99 {
		f(true, "answer")
	}
	_ = near.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	sent, err := s.Ask([]byte("ask"), answers, true)
	if !errors.Is(err, os.ErrDeadlineExceeded) || sent.Written != 3 || sent.Buffer != nil {
		t.Fatalf("got %+v, %v", sent, err)
	}
	_ = near.SetReadDeadline(time.Now().Add(patience))
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	write(t, far, "late")
	more("late")
}

// TestAskStale: nothing is sent where something has come unasked.
func TestAskStale(t *testing.T) {
	f := func(name string, unasked func(far *net.TCPConn)) {
		t.Run(name, func(t *testing.T) {
			s, near, far := pair(t)
			unasked(far)
			arrived(t, s)
			sent, err := s.Ask([]byte("ask"), NewBuffers(16), true)
			if !sent.Stale || sent.Written != 0 || err != nil {
				t.Fatalf("got %+v, %v", sent, err)
			}
			_ = near.CloseWrite()
			if got, _ := io.ReadAll(far); len(got) > 0 {
				t.Errorf("%q was sent", got)
			}
		})
	}
	f("octet", func(far *net.TCPConn) { write(t, far, "x") })
	f("end", func(far *net.TCPConn) { _ = far.CloseWrite() })
}

// moreThanFits is what no connection's buffers have room for, on both sides together.
const moreThanFits = 64 << 20

// TestAskMoreThanFits: what the kernel has no room for is left to the caller, and nothing is waited for.
func TestAskMoreThanFits(t *testing.T) {
	s, _, _ := pair(t)
	request := make([]byte, moreThanFits)
	sent, err := s.Ask(request, NewBuffers(16), true)
	if err != nil || sent.Written == 0 || sent.Written >= len(request) || sent.Buffer != nil {
		t.Errorf("got %+v, %v", sent, err)
	}
}

// TestSend: more than fits into the kernel at once arrives whole; to one who does not read, it ends with the deadline.
func TestSend(t *testing.T) {
	s, near, far := pair(t)
	octets := bytes.Repeat([]byte("01234567"), moreThanFits/8)
	got := make(chan []byte)
	go func() {
		all := make([]byte, len(octets))
		_, _ = io.ReadFull(far, all)
		got <- all
	}()
	if err := s.Send(octets); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(<-got, octets) {
		t.Error("not all arrived")
	}
	_ = near.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
	if err := s.Send(octets); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestOfOthers(t *testing.T) {
	near, far := net.Pipe()
	defer func() { _, _ = near.Close(), far.Close() }()
	if Of(near) != nil {
		t.Error("a pipe was taken for TCP")
	}
}
