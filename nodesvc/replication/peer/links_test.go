package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/stead-io/stead/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ Network = (*Links)(nil)

func testHello(node api.NodeID) Hello {
	return Hello{
		Cluster: "00112233445566778899aabbccddeeff", Node: node, Store: "store-" + api.StoreID(node), Nonce: "1",
		SlotBits: 8, State: api.StateManaged,
	}
}

// recorder is a handler that writes down what it hears. A frame with the body "block" holds it up.
type recorder struct {
	mu      sync.Mutex
	heard   []string
	release chan struct{}
}

func (r *recorder) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard = append(r.heard, fmt.Sprintf(format, args...))
}

func (r *recorder) Linked(from Hello) { r.note("linked %s", from.Node) }
func (r *recorder) Lost(from Hello)   { r.note("lost %s", from.Node) }

func (r *recorder) Receive(from Hello, kind uint8, body []byte) {
	r.note("%s %d %s", from.Node, kind, body)
	if string(body) == "block" {
		<-r.release
	}
}

// take returns what was heard since the last call.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	heard := r.heard
	r.heard = nil
	return heard
}

func (r *recorder) expect(t *testing.T, want ...string) {
	t.Helper()
	if got := r.take(); !slices.Equal(got, want) {
		t.Errorf("heard %q, want %q", got, want)
	}
}

// wires connects links in memory; an address is a node's id, after "old-" too.
type wires struct {
	links map[string]*Links
	dials atomic.Int64
	mute  atomic.Pointer[string] // what is written to this address is lost
	cut   atomic.Bool            // nobody is reached
}

func (w *wires) dial(_ context.Context, _ api.NodeID, address string) (net.Conn, error) {
	w.dials.Add(1)
	to := w.links[strings.TrimPrefix(address, "old-")]
	if to == nil || w.cut.Load() {
		return nil, errors.New("nobody is there")
	}
	here, there := net.Pipe()
	to.Accept(there, "")
	return &mutable{Conn: here, wires: w, address: address}, nil
}

type mutable struct {
	net.Conn
	wires   *wires
	address string
}

func (m *mutable) NetConn() net.Conn { return m.Conn }

func (m *mutable) Write(p []byte) (int, error) {
	if muted := m.wires.mute.Load(); muted != nil && *muted == m.address {
		return len(p), nil
	}
	return m.Conn.Write(p)
}

// pair is nodes a and b in a bubble, linked.
type pair struct {
	*wires
	a, b         *Links
	heardA, hear *recorder // of a, and of b
}

func nodes(ids ...string) []api.SlotNode {
	var list []api.SlotNode
	for _, id := range ids {
		list = append(list, api.SlotNode{ID: api.NodeID(strings.TrimPrefix(id, "old-")), Address: id, Status: api.NodeUp})
	}
	return list
}

func (w *wires) open(id api.NodeID, handler Handler, change func(*Config)) *Links {
	config := Config{Self: testHello(id), Handler: handler, Dial: w.dial}
	if change != nil {
		change(&config)
	}
	links := Open(config)
	w.links[string(id)] = links
	return links
}

// inPair runs f in a bubble with two linked nodes, and closes them afterwards.
func inPair(t *testing.T, change func(*Config), f func(t *testing.T, p *pair)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &wires{links: map[string]*Links{}}
		p := &pair{wires: w, heardA: &recorder{}, hear: &recorder{release: make(chan struct{})}}
		p.a, p.b = w.open("a", p.heardA, change), w.open("b", p.hear, change)
		p.a.Follow(nodes("a", "b"))
		p.b.Follow(nodes("a", "b"))
		synctest.Wait()
		p.heardA.expect(t, "linked b")
		p.hear.expect(t, "linked a")
		f(t, p)
		_, _ = p.a.Close(), p.b.Close()
	})
}

func TestFramesArriveBothWaysInOrder(t *testing.T) {
	inPair(t, nil, func(t *testing.T, p *pair) {
		for i := range 500 {
			if err := errors.Join(p.a.Send("b", 7, fmt.Appendf(nil, "%d", i)), p.b.Send("a", 8, fmt.Appendf(nil, "%d", i))); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.a.SendBulk(t.Context(), "b", 9, []byte("bulk")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		atB, atA := p.hear.take(), p.heardA.take()
		if at := slices.Index(atB, "a 9 bulk"); at < 0 {
			t.Fatal("the bulk frame did not arrive")
		} else {
			atB = slices.Delete(atB, at, at+1)
		}
		for i := range 500 {
			if atB[i] != fmt.Sprintf("a 7 %d", i) || atA[i] != fmt.Sprintf("b 8 %d", i) {
				t.Fatalf("frame %d: %s, %s", i, atB[i], atA[i])
			}
		}
	})
}

func TestPeerIsTheOthersGreeting(t *testing.T) {
	inPair(t, nil, func(t *testing.T, p *pair) {
		if hello, linked := p.b.Peer("a"); !linked || hello != testHello("a") {
			t.Errorf("%+v, %v", hello, linked)
		}
		if _, linked := p.b.Peer("c"); linked {
			t.Error("c is linked")
		}
		if err := p.b.Send("c", 1, nil); !errors.Is(err, ErrNoLink) {
			t.Errorf("to c: %v", err)
		}
		if err := p.b.SendBulk(t.Context(), "c", 1, nil); !errors.Is(err, ErrNoLink) {
			t.Errorf("bulk to c: %v", err)
		}
	})
}

func TestFramesThatAreTooLargeAreRefused(t *testing.T) {
	inPair(t, nil, func(t *testing.T, p *pair) {
		if err := p.a.Send("b", 1, make([]byte, FrameMax+1)); err == nil || errors.Is(err, ErrNoLink) {
			t.Errorf("urgent: %v", err)
		}
		if err := p.a.SendBulk(t.Context(), "b", 1, make([]byte, BulkMax+1)); err == nil || errors.Is(err, ErrNoLink) {
			t.Errorf("bulk: %v", err)
		}
		synctest.Wait()
		p.hear.expect(t)
	})
}

func TestIdleLinksStay(t *testing.T) {
	inPair(t, nil, func(t *testing.T, p *pair) {
		time.Sleep(time.Minute)
		p.hear.expect(t)
		p.heardA.expect(t)
		stats := p.b.Stats()
		if len(stats) != 1 || !stats[0].Linked || stats[0].FramesIn < 200 || stats[0].BytesIn < 200*headSize || stats[0].Connections != 1 {
			t.Errorf("%+v", stats)
		}
		if since := time.Since(stats[0].Heard); since > HeartbeatDefault {
			t.Errorf("last heard %v ago", since)
		}
	})
}

// b hears nothing of a, a hears b well: b cuts, and both learn of it.
func TestSilenceInOneDirectionEndsTheLink(t *testing.T) {
	inPair(t, nil, func(t *testing.T, p *pair) {
		muted := "b"
		p.mute.Store(&muted)
		time.Sleep(SilenceMaxDefault - HeartbeatDefault - time.Millisecond)
		p.hear.expect(t)
		time.Sleep(HeartbeatDefault + 2*time.Millisecond)
		p.hear.expect(t, "lost a")
		p.heardA.expect(t, "lost b")
		p.mute.Store(nil)
		time.Sleep(redialMax + DialTimeoutDefault)
		p.hear.expect(t, "linked a")
		p.heardA.expect(t, "linked b")
	})
}

func TestRedialsBackOff(t *testing.T) {
	inPair(t, nil, func(t *testing.T, p *pair) {
		p.cut.Store(true)
		p.a.Follow(nodes("a", "old-b"))
		synctest.Wait()
		p.dials.Store(0)
		time.Sleep(10 * time.Second)
		if dials := p.dials.Load(); dials < 10 || dials > 26 {
			t.Errorf("%d dials in 10 s", dials)
		}
		p.a.Follow([]api.SlotNode{{ID: "b", Address: "b", Status: api.NodeDown}})
		synctest.Wait()
		p.dials.Store(0)
		time.Sleep(10 * time.Second)
		if dials := p.dials.Load(); dials > 0 {
			t.Errorf("%d dials of a node that is down", dials)
		}
		p.cut.Store(false)
		p.a.Follow(nodes("b"))
		synctest.Wait()
		p.heardA.expect(t, "lost b", "linked b")
	})
}

func TestFollowing(t *testing.T) {
	inPair(t, nil, func(t *testing.T, p *pair) {
		p.a.Follow(nodes("a", "old-b")) // another address: dialled anew
		time.Sleep(redialMin)
		p.hear.expect(t, "lost a", "linked a")
		p.heardA.expect(t, "lost b", "linked b")

		p.a.Follow([]api.SlotNode{{ID: "b", Address: "old-b", Status: api.NodeDown}}) // the link proves otherwise
		time.Sleep(time.Second)
		p.hear.expect(t)

		p.b.Follow(nodes("b")) // a is turned away
		time.Sleep(time.Second)
		p.hear.expect(t, "lost a")
		p.heardA.expect(t, "lost b")
		p.a.Follow(nodes("b"))
		time.Sleep(time.Second)
		p.hear.expect(t)
		if stats := p.b.Stats(); len(stats) != 0 {
			t.Errorf("b remembers %+v", stats)
		}

		p.b.Follow(nodes("a", "b"))
		time.Sleep(2 * redialMax)
		p.hear.expect(t, "linked a")
		p.a.Follow(nil)
		synctest.Wait()
		p.hear.expect(t, "lost a")
		p.heardA.expect(t, "linked b", "lost b")
	})
}

func TestANewerConnectionReplaces(t *testing.T) {
	inPair(t, nil, func(t *testing.T, p *pair) {
		p.leaveB(t)
		p.greet(t, testHello("a"))
		synctest.Wait()
		p.hear.expect(t, "linked a")
		again := testHello("a")
		again.Nonce = "2"
		conn := p.greet(t, again)
		synctest.Wait()
		p.hear.expect(t, "lost a", "linked a")
		if hello, _ := p.b.Peer("a"); hello != again {
			t.Errorf("b is linked with %+v", hello)
		}
		_ = conn.Close()
		synctest.Wait()
		p.hear.expect(t, "lost a")
	})
}

// leaveB closes a, for the test to be in its place.
func (p *pair) leaveB(t *testing.T) {
	t.Helper()
	_ = p.a.Close()
	synctest.Wait()
	p.hear.expect(t, "lost a")
}

// greet opens a connection to b that the test writes to.
func (p *pair) greet(t *testing.T, self Hello) net.Conn {
	t.Helper()
	here, there := net.Pipe()
	p.b.Accept(there, "")
	link, err := greeter{self: self, timeout: time.Second, silence: time.Second}.call(here, "b")
	if err != nil {
		t.Fatal(err)
	}
	return link.conn
}

// The predecessor's last frame is being handled: its end is told before the next begins.
func TestAReplacedLinkIsLostFirst(t *testing.T) {
	inPair(t, nil, func(t *testing.T, p *pair) {
		p.cut.Store(true) // a does not come back
		if err := p.a.Send("b", 1, []byte("block")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for range 3 {
			p.greet(t, testHello("a"))
		}
		synctest.Wait()
		p.hear.expect(t, "a 1 block")
		if err := p.b.Send("a", 1, nil); !errors.Is(err, ErrNoLink) {
			t.Errorf("a frame for a replaced link: %v", err)
		}
		close(p.hear.release)
		synctest.Wait()
		p.hear.expect(t, "lost a", "linked a")
	})
}

func TestMoreThanTheQueueHoldsEndsTheLink(t *testing.T) {
	change := func(c *Config) { c.QueueMax = 1 << 20 }
	inPair(t, change, func(t *testing.T, p *pair) {
		if err := p.a.Send("b", 1, []byte("block")); err != nil {
			t.Fatal(err)
		}
		body := []byte(strings.Repeat("x", 1000))
		var sent int
		for p.a.Send("b", 2, body) == nil {
			sent++
		}
		if most := (1 << 20) / (len(body) + frameCost); sent > most || sent < most-10 {
			t.Errorf("%d frames were queued, of at most %d", sent, most)
		}
		close(p.hear.release)
		synctest.Wait()
		if err := p.a.Send("b", 3, nil); !errors.Is(err, ErrNoLink) {
			t.Errorf("after it: %v", err)
		}
		time.Sleep(redialMax)
		if err := p.a.Send("b", 4, nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		heard := p.hear.take()
		if got := heard[len(heard)-3:]; !slices.Equal(got, []string{"lost a", "linked a", "a 4 "}) {
			t.Errorf("heard last %q", got)
		}
	})
}

func TestBulkWaitsForASlowReader(t *testing.T) {
	inPair(t, nil, func(t *testing.T, p *pair) {
		if err := p.a.SendBulk(t.Context(), "b", 1, []byte("block")); err != nil {
			t.Fatal(err)
		}
		outcome := make(chan error, 2)
		body := make([]byte, BulkMax)
		go func() { outcome <- p.a.SendBulk(t.Context(), "b", 2, body) }() // is being written
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.a.SendBulk(ctx, "b", 3, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one that waits: %v", err)
		}
		select {
		case err := <-outcome:
			t.Fatalf("returned %v before it was written", err)
		default:
		}
		if err := p.a.Send("b", 4, []byte("urgent")); err != nil {
			t.Fatal(err)
		}
		close(p.hear.release)
		if err := <-outcome; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		p.hear.expect(t, "a 1 block", "a 2 "+string(body), "a 4 urgent")
	})
}

func TestAReaderThatStandsStillIsCutOff(t *testing.T) {
	inPair(t, nil, func(t *testing.T, p *pair) {
		if err := p.a.Send("b", 1, []byte("block")); err != nil {
			t.Fatal(err)
		}
		err := p.a.SendBulk(t.Context(), "b", 2, make([]byte, BulkMax))
		if err == nil {
			err = p.a.SendBulk(t.Context(), "b", 2, make([]byte, BulkMax))
		}
		if !errors.Is(err, ErrNoLink) {
			t.Errorf("bulk: %v", err)
		}
		p.heardA.expect(t, "lost b")
		close(p.hear.release)
	})
}

func TestWhatIsNoFrameEndsTheLink(t *testing.T) {
	f := func(name string, octets []byte) {
		t.Helper()
		inPair(t, nil, func(t *testing.T, p *pair) {
			p.leaveB(t)
			conn := p.greet(t, testHello("a"))
			synctest.Wait()
			p.hear.expect(t, "linked a")
			_, _ = conn.Write(octets)
			synctest.Wait()
			if heard := p.hear.take(); !slices.Equal(heard, []string{"lost a"}) {
				t.Errorf("%s: heard %q", name, heard)
			}
		})
	}
	whole := encode(frame{kind: 1, lane: laneUrgent, body: []byte("body")})
	f("garbage", []byte("GET / HTTP/1.1\r\n\r\n"))
	f("wrong checksum", append(whole[:len(whole)-1:len(whole)-1], 'X'))
	f("another lane", encode(frame{kind: 1, lane: 3}))
	f("a second greeting", encode(frame{kind: kindGreeting, lane: laneOwn}))
	f("too long", []byte{0xff, 0xff, 0xff, 0xff, 1, laneUrgent, 0, 0, 0, 0})
	f("too long for its lane", encode(frame{kind: 1, lane: laneBulk, body: make([]byte, BulkMax+1)})[:headSize])
}

func TestClosedLinksTakeNothing(t *testing.T) {
	inPair(t, nil, func(t *testing.T, p *pair) {
		if err := p.b.Close(); err != nil {
			t.Fatal(err)
		}
		p.hear.expect(t, "lost a")
		here, there := net.Pipe()
		p.b.Accept(there, "")
		if _, err := here.Write([]byte("x")); err == nil {
			t.Error("the connection is open")
		}
		p.b.Follow(nodes("c"))
		if err := p.b.Send("a", 1, nil); !errors.Is(err, ErrNoLink) {
			t.Errorf("send: %v", err)
		}
	})
}

func TestGreetingsInProgressAreLimited(t *testing.T) {
	inPair(t, nil, func(t *testing.T, p *pair) {
		var open []net.Conn
		for range greetingsMax + 1 {
			here, there := net.Pipe()
			p.b.Accept(there, "")
			open = append(open, here)
		}
		last := open[greetingsMax]
		if _, err := last.Read(make([]byte, 1)); err == nil {
			t.Error("one more than may be was taken")
		}
		time.Sleep(DialTimeoutDefault + time.Millisecond)
		if _, err := open[0].Write([]byte("x")); err == nil {
			t.Error("a greeting may last for ever")
		}
		p.greet(t, testHello("a"))
	})
}
