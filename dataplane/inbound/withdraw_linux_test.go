package inbound

import (
	"net"
	"testing"
	"time"

	"github.com/stead-io/stead/api/transport"
)

// TestWithdraw: connections that exist are accepted after it, and nobody else can make one.
func TestWithdraw(t *testing.T) {
	door, err := (transport.Security{}).Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer door.Close()
	early, err := net.Dial("tcp", door.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	withdrawn := make(chan struct{})
	go func() {
		defer close(withdrawn)
		withdraw(t.Context(), door)
	}()
	select {
	case <-withdrawn:
		t.Fatal("withdrawn with a caller at the door")
	case <-time.After(10 * handshakesEnd):
	}
	conn, err := door.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	<-withdrawn
	if late, err := net.DialTimeout("tcp", door.Addr().String(), 10*handshakesEnd); err == nil {
		_ = late.Close()
		t.Error("connected to a withdrawn listener")
	}
	if _, err := early.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if n, err := conn.Read(make([]byte, 1)); n != 1 {
		t.Errorf("what came with the connection was lost: %v", err)
	}
}

// TestWithdrawFromAFullHouse: callers that nobody can accept do not hold up the end.
func TestWithdrawFromAFullHouse(t *testing.T) {
	door, err := (transport.Security{}).Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer door.Close()
	early, err := net.Dial("tcp", door.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	withdrawn := make(chan struct{})
	go func() {
		defer close(withdrawn)
		withdraw(t.Context(), door)
	}()
	select {
	case <-withdrawn:
	case <-time.After(10 * queueEnd):
		t.Error("still waiting for a caller that nobody accepts")
	}
}
