package proxyheader

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// pair is both ends of a TCP connection, the second one with a header to come.
func pair(t *testing.T, timeout time.Duration) (far net.Conn, near *Conn, failed <-chan error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	if far, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	socket, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = far.Close(), socket.Close() })
	failures := make(chan error, 1)
	return far, New(socket, Config{Timeout: timeout, Failed: func(_ *Conn, err error) { failures <- err }}), failures
}

func TestConn(t *testing.T) {
	far, near, _ := pair(t, time.Minute)
	if near.RemoteAddr().String() != far.LocalAddr().String() {
		t.Errorf("before the header it is from %v", near.RemoteAddr())
	}
	go func() {
		for _, piece := range []string{"PRO", "XY TCP4 1.2.3.4 5.6.7.8 80 443\r", "\nhel", "lo"} {
			_, _ = io.WriteString(far, piece)
			time.Sleep(time.Millisecond) // so that they come one by one, most times
		}
		_ = far.Close()
	}()
	got, err := io.ReadAll(near)
	if string(got) != "hello" || err != nil || near.RemoteAddr().String() != "1.2.3.4:80" || near.Peer().String() != far.LocalAddr().String() {
		t.Errorf("%q from %v by way of %v: %v", got, near.RemoteAddr(), near.Peer(), err)
	}
}

func TestConnFails(t *testing.T) {
	f := func(octets string, timeout time.Duration, want error) {
		t.Helper()
		far, near, failed := pair(t, timeout)
		_, _ = io.WriteString(far, octets)
		_ = near.SetReadDeadline(time.Now().Add(time.Hour)) // no excuse for a late header
		if timeout == time.Minute {
			_ = far.(*net.TCPConn).CloseWrite()
		}
		for range 2 {
			if n, err := near.Read(make([]byte, 100)); n != 0 || !errors.Is(err, want) {
				t.Errorf("%q: read %d, %v", octets, n, err)
			}
		}
		if want != io.EOF {
			<-failed
		}
		_ = far.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := far.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q: the connection was not closed: %v", octets, err)
		}
	}
	f("GET / HTTP/1.1\r\n\r\n", time.Minute, ErrNoHeader)
	f("PROXY TCP9\r\n", time.Minute, ErrMalformed)
	f("PROXY TCP4 1.2.3.4", time.Minute, io.EOF)
	f("", time.Minute, io.EOF)
	f("PROXY TCP4 1.2.3.4", 20*time.Millisecond, os.ErrDeadlineExceeded)
	f("", 20*time.Millisecond, os.ErrDeadlineExceeded)
}

// TestConnDeadlines: the deadline asked for before the header came holds behind it.
func TestConnDeadlines(t *testing.T) {
	far, near, _ := pair(t, time.Minute)
	_ = near.SetDeadline(time.Now().Add(50 * time.Millisecond))
	_, _ = io.WriteString(far, "PROXY UNKNOWN\r\nx")
	if n, err := near.Read(make([]byte, 10)); n != 1 || err != nil {
		t.Fatalf("read %d, %v", n, err)
	}
	if _, err := near.Read(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %v", err)
	}
	_ = near.SetReadDeadline(time.Time{})
	_, _ = io.WriteString(far, "y")
	if n, err := near.Read(make([]byte, 10)); n != 1 || err != nil {
		t.Errorf("read %d, %v", n, err)
	}
}
