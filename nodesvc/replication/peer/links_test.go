package peer

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/stead-io/stead/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ Network = (*Links)(nil)

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

func TestBytesAreCountedWhenTheirNodeIsForgotten(t *testing.T) {
	inPair(t, nil, func(t *testing.T, p *pair) {
		if err := p.a.Send("b", 1, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		p.b.Follow(nodes("b"))
		synctest.Wait()
		in, out := p.b.Bytes()
		if stats := p.b.Stats(); len(stats) != 0 || in < 1000 || out >= 1000 {
			t.Errorf("%d in, %d out, %+v", in, out, stats)
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
