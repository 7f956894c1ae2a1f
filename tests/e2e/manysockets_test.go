//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/tests/cluster"
)

const (
	manySockets = 1000
	talkEvery   = 500 * time.Millisecond // each says something
	openAtOnce  = 16
)

// talker is alone in a room, and hears what it says itself.
type talker struct {
	room  string
	ws    *webSocket
	heard atomic.Int64
	end   error // why it hears nothing any more
}

// talk goes on until the context or the WebSocket ends.
func (p *talker) talk(ctx context.Context) {
	ticker := time.NewTicker(talkEvery)
	defer ticker.Stop()
	for ctx.Err() == nil && p.end == nil {
		p.end = p.once(fmt.Sprint(p.room, " ", p.heard.Load()))
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

func (p *talker) once(text string) error {
	_ = p.ws.SetDeadline(time.Now().Add(cluster.Patience))
	said := p.ws.say(text) // one that is closed has told why
	heard, err := p.ws.hear()
	switch {
	case err != nil:
		return err
	case said != nil:
		return said
	case heard != text:
		return fmt.Errorf("heard %q, want %q", heard, text)
	}
	p.heard.Add(1)
	return nil
}

// openTalkers opens a WebSocket to each of many rooms, through all proxies in turn.
func openTalkers(t *testing.T, c *cluster.Cluster) []*talker {
	t.Helper()
	all := make([]*talker, manySockets)
	var opening sync.WaitGroup
	for first := range openAtOnce {
		opening.Go(func() {
			for i := first; i < len(all); i += openAtOnce {
				room := fmt.Sprint("room-", i)
				ws, err := openWebSocket(c.ProxyAddrs[i%len(c.ProxyAddrs)], "/?room="+room)
				if err != nil {
					t.Errorf("%s: %v", room, err)
					return
				}
				t.Cleanup(func() { _ = ws.Close() })
				all[i] = &talker{room: room, ws: ws}
			}
		})
	}
	if opening.Wait(); t.Failed() {
		t.FailNow()
	}
	return all
}

// TestManyWebSockets: a node joins, and takes a ninth of the slots under a thousand WebSockets. Those of slots that stay
// hear all that is said; those of slots that move are told so.
func TestManyWebSockets(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{
		Members: 1, Proxies: 2, State: api.StateHooks,
		ControlArgs: []string{"--keys", "query:room", "--slots", "256", "--plan-delay", "100ms"},
	})
	startRooms(t, c, "r1", 4)
	startRooms(t, c, "r2", 4)
	awaitRooms(t, c, "r1", "r2")
	before, err := c.Client.Ring(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := openTalkers(t, c)
	ctx, hush := context.WithCancel(t.Context())
	var talking sync.WaitGroup
	for i, talker := range all {
		talking.Go(func() {
			pause(talkEvery * time.Duration(i) / manySockets)
			talker.talk(ctx)
		})
	}
	t.Cleanup(func() { hush(); talking.Wait() }) // of a test that gave up
	began := time.Now()
	startRooms(t, c, "r3", 1)
	awaitRooms(t, c, "r3")
	t.Logf("the third node has its slots after %v", time.Since(began).Round(time.Millisecond))
	pause(2 * talkEvery) // all have said something since
	hush()
	talking.Wait()

	after, err := c.Client.Ring(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	moved, heard := 0, int64(0)
	for _, talker := range all {
		_, _, was, _ := before.Locate([]byte(talker.room))
		_, _, is, _ := after.Locate([]byte(talker.room))
		var code closed
		switch {
		case was.ID == is.ID && talker.end != nil:
			t.Errorf("%s stayed at %s, and ended: %v", talker.room, is.ID, talker.end)
		case was.ID != is.ID && (!errors.As(talker.end, &code) || code != 1012):
			t.Errorf("%s went from %s to %s, and ended: %v; want 1012", talker.room, was.ID, is.ID, talker.end)
		case was.ID != is.ID:
			moved++
		}
		heard += talker.heard.Load()
	}
	t.Logf("%d WebSockets, %d messages: %d moved and were told so, all others go on", len(all), heard, moved)
	if moved < manySockets/20 || moved > manySockets/5 {
		t.Errorf("%d moved: that is not a ninth", moved)
	}
}
