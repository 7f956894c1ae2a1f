package transport

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// TestAdoptedSocket: who connected before the first listener closed is accepted by the one that adopted its socket,
// and so is who connects after; closing the first neither blocks nor refuses anybody.
func TestAdoptedSocket(t *testing.T) {
	first, err := (Security{}).Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket, err := Socket(first)
	if err != nil {
		t.Fatal(err)
	}
	_ = socket.Fd() // as passing it on does
	second, err := (Security{}).AdoptFor(socket, Callers{})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	accepting := make(chan error, 1)
	go func() {
		conn, err := first.Accept()
		if err == nil {
			_ = conn.Close()
			_, err = first.Accept()
		}
		accepting <- err
	}()
	connect := func() {
		t.Helper()
		conn, err := net.Dial("tcp", first.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	connect()
	_ = first.Close()
	select {
	case err := <-accepting:
		if !errors.Is(err, net.ErrClosed) {
			t.Fatal(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("a closed listener still waits for callers")
	}
	for range 2 {
		connect()
		conn, err := second.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
	}
}

// TestAdoptRefuses: what may not be listened on may not be adopted either.
func TestAdoptRefuses(t *testing.T) {
	f := func(open func() (net.Listener, error), want error) {
		t.Helper()
		opened, err := open()
		if err != nil {
			t.Fatal(err)
		}
		defer opened.Close()
		socket, err := Socket(opened)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (Security{}).AdoptFor(socket, Callers{}); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	f(func() (net.Listener, error) { return Security{Insecure: true}.Listen("0.0.0.0:0") }, ErrExposed)

	none, other, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := (Security{}).AdoptFor(none, Callers{}); err == nil {
		t.Error("a pipe was adopted")
	}
}
