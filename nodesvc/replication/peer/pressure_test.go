package peer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

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
		most := (1 << 20) / (len(body) + frameCost)
		if atReader := 1 + readBuffer/len(body); sent < most-10 || sent > most+atReader {
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
		synctest.Wait()
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

// sessions checks that what comes between Linked and Lost are numbers without a gap.
type sessions struct {
	t      *testing.T
	linked bool
	next   int // -1: whatever comes first
	heard  int
}

func (s *sessions) Linked(Hello) {
	if s.linked {
		s.t.Error("linked twice")
	}
	s.linked, s.next = true, -1
}

func (s *sessions) Lost(Hello) {
	if !s.linked {
		s.t.Error("lost what was not linked")
	}
	s.linked = false
}

func (s *sessions) Receive(_ Hello, _ uint8, body []byte) {
	var number int
	_, _ = fmt.Sscanf(string(body), "%d", &number)
	if !s.linked || s.next >= 0 && number != s.next {
		s.t.Errorf("number %d in place of %d, linked: %v", number, s.next, s.linked)
	}
	s.next = number + 1
	s.heard++
}

// Connections break at any time, from either side; whatever is not sent, or lost with its link, no later frame
// of the same link may follow.
func TestNoFrameIsMissingWithinALink(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(seed, 0))
		w := &wires{links: map[string]*Links{}}
		hears := &sessions{t: t}
		small := func(c *Config) { c.QueueMax = 2000 }
		a, b := w.open("a", &recorder{}, small), w.open("b", hears, small)
		a.Follow(nodes("b"))
		for number := range 20000 {
			_ = a.Send("b", 1, fmt.Appendf(nil, "%d", number)) // refused or not, it has its number
			switch random.IntN(400) {
			case 0:
				b.Follow(nil)
				b.Follow(nodes("a"))
			case 1:
				a.Follow(nodes("old-b"))
			case 2:
				a.Follow(nodes("b"))
			case 3, 4:
				time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
			case 5, 6, 7, 8, 9, 10, 11, 12:
				synctest.Wait()
			}
		}
		_, _ = a.Close(), b.Close()
		if hears.linked || hears.heard == 0 {
			t.Errorf("linked: %v, %d frames came", hears.linked, hears.heard)
		}
	})
}
