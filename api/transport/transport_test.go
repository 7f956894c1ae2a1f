package transport

import (
	"errors"
	"testing"
)

func TestOnlyLoopbackWithoutLeave(t *testing.T) {
	f := func(address string, insecure, ok bool) {
		t.Helper()
		if err := (Security{Insecure: insecure}).Check(address); (err == nil) != ok {
			t.Errorf("%q, insecure %v: %v", address, insecure, err)
		}
	}
	f("127.0.0.1:0", false, true)
	f("127.8.9.1:0", false, true)
	f("[::1]:0", false, true)
	f("localhost:0", false, true)
	f("0.0.0.0:0", false, false)
	f("[::]:0", false, false)
	f(":0", false, false)
	f("10.0.0.1:0", false, false)
	f("10.0.0.1:0", true, true)
	f(":0", true, true)
	f("nonsense", true, false)
}

func TestListenRefusesWhatCheckDoes(t *testing.T) {
	if _, err := (Security{}).Listen("0.0.0.0:0"); !errors.Is(err, ErrExposed) {
		t.Fatalf("got %v", err)
	}
	listener, err := (Security{}).Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := (Security{}).Dial(t.Context(), listener.Addr().String(), Identity{})
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}

func TestListenPacket(t *testing.T) {
	if _, err := (Security{}).ListenPacket("0.0.0.0:0"); !errors.Is(err, ErrExposed) {
		t.Fatalf("got %v", err)
	}
	conn, err := (Security{}).ListenPacket("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := (Security{}).ListenPacket(conn.LocalAddr().String()); err == nil {
		t.Fatal("one port was listened on twice")
	}
}

func TestAdvertised(t *testing.T) {
	f := func(listen, advertise, want string, ok bool) {
		t.Helper()
		if got, err := Advertised(listen, advertise); got != want || (err == nil) != ok {
			t.Errorf("%q %q: got %q, %v", listen, advertise, got, err)
		}
	}
	f("127.0.0.1:1", "", "127.0.0.1:1", true)
	f("0.0.0.0:1", "10.0.0.1:1", "10.0.0.1:1", true)
	f("0.0.0.0:1", "", "", false)
	f("[::]:1", "", "", false)
	f(":1", "", "", false)
	f("1", "", "", false)
}
