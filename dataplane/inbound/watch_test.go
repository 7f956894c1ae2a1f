package inbound

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// TestWatchSleeps: the rounds go on while there is a request, end when there has been none for a while, and
// begin again with the next.
func TestWatchSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := &Conn{Conn: &cutSocket{}}
		server := &Server{conns: map[*Conn]struct{}{conn: {}}}
		watch := &server.watch
		watch.server, watch.hangups, watch.woken, watch.stop = server, &hangups{}, make(chan struct{}, 1), make(chan struct{})
		watch.running.Go(watch.run)
		f := func(after time.Duration, want bool) {
			t.Helper()
			time.Sleep(after)
			if got := watch.awake.Load(); got != want {
				t.Errorf("awake: %v", got)
			}
		}
		for range 2 {
			conn.active.Store(true)
			conn.leaving.turn.Add(1)
			watch.wake()
			f(time.Minute+watchInterval/2, true) // between two rounds
			if conn.leaving.slow.Load() != conn.leaving.turn.Load() {
				t.Error("a request that lasts is not looked after")
			}
			conn.active.Store(false)
			f((roundsIdleMax-2)*watchInterval, true)
			f(4*watchInterval, false)
		}
		close(watch.stop)
		watch.running.Wait()
	})
}

// closer notes that it was closed.
type closer struct{ closed bool }

func (c *closer) Close() error {
	c.closed = true
	return nil
}

// TestHangUp: what is held for a client is closed when it hangs up while its request lasts; one that hung up
// and is answered soon keeps it.
func TestHangUp(t *testing.T) {
	conn, held := &Conn{}, &closer{}
	var _ io.Closer = held
	conn.active.Store(true)
	conn.leaving.turn.Store(7)
	if !conn.Hold(held) {
		t.Error("it is gone from the start")
	}
	if conn.hangUp(); held.closed {
		t.Error("it was not given time")
	}
	conn.leaving.slow.Store(7)
	if conn.hangUp(); !held.closed {
		t.Error("the connection to the node stays open")
	}
	if conn.Hold(nil) {
		t.Error("it is here still")
	}
}

// peer is a socket of a client at an address.
type peer struct {
	net.Conn
	at string
}

func (p peer) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(p.at)) }

// TestCountedByAddress: IPv4 addresses are told apart, IPv6 ones by their /64.
func TestCountedByAddress(t *testing.T) {
	server := &Server{conns: make(map[*Conn]struct{}), addresses: make(map[netip.Addr]int)}
	f := func(at string, want bool) *Conn {
		t.Helper()
		conn := &Conn{Conn: peer{at: at}}
		if got := server.count(conn, 2); got != want {
			t.Errorf("%s: %v", at, got)
		}
		return conn
	}
	first := f("10.0.0.1:1", true)
	f("[::ffff:10.0.0.1]:2", true)
	f("10.0.0.1:3", false)
	f("10.0.0.2:1", true)
	f("[2001:db8:0:1::1]:1", true)
	f("[2001:db8:0:1:ffff::2]:1", true)
	f("[2001:db8:0:1::3]:1", false)
	f("[2001:db8:0:2::1]:1", true)
	server.release(first.address)
	f("10.0.0.1:4", true)
	f("10.0.0.1:5", false)
}

// TestPace: the mean rate counts from the grace on, and only of the time waited.
func TestPace(t *testing.T) {
	f := func(waited time.Duration, octets int64, rate int, want bool) {
		t.Helper()
		p := pace{waited: waited, octets: octets}
		if got := p.slow(rate, time.Minute); got != want {
			t.Errorf("%d octets in %v: %v", octets, waited, got)
		}
	}
	f(time.Minute, 0, 240, false)
	f(time.Minute+time.Second, 239, 240, true)
	f(time.Minute+time.Second, 240, 240, false)
	f(time.Hour, 59*60*240, 240, false)
	f(time.Hour, 59*60*240-1, 240, true)
	f(time.Hour, 60, 0, false)
}
