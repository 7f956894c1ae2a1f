//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/tests/cluster"
)

// TestRoomsMove: people in a room hear each other through different proxies. The room moves: they are told to come
// again, and find it elsewhere with all that was said.
func TestRoomsMove(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{
		Members: 1, Proxies: 2, State: api.StateHooks,
		ControlArgs: []string{"--keys", "query:room", "--slots", "256", "--plan-delay", "100ms"},
	})
	const room = "/?room=lobby"
	startRooms(t, c, "r1", 1)
	startRooms(t, c, "r2", 1)
	awaitRooms(t, c, "r1", "r2")
	ann, bob := enter(t, c, 0, room), enter(t, c, 1, room)
	say(t, ann, "hello")
	for _, ws := range []*webSocket{ann, bob} {
		ws.expect(t, "hello")
	}
	at, err := c.Client.Locate(t.Context(), []byte("lobby"))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := c.Client.Drain(t.Context(), at.Replicas[0].ID); err != nil {
		t.Fatal(err)
	}
	for _, ws := range []*webSocket{ann, bob} {
		var code closed
		if text, err := ws.hear(); !errors.As(err, &code) || code != 1012 {
			t.Errorf("heard %q, %v, want the end, 1012", text, err)
		}
		_ = ws.Close()
	}
	ann, bob = enter(t, c, 1, room), enter(t, c, 0, room)
	t.Logf("back %v after the drain began", time.Since(began).Round(time.Millisecond))
	ann.expect(t, "hello")
	bob.expect(t, "hello")
	say(t, bob, strings.Repeat("again", 100))
	ann.expect(t, strings.Repeat("again", 100))
	bob.expect(t, strings.Repeat("again", 100))
	if now, err := c.Client.Locate(t.Context(), []byte("lobby")); err != nil || now.Replicas[0].ID == at.Replicas[0].ID {
		t.Errorf("the room is at %s still, %v", now.Replicas[0].ID, err)
	}
}

// startRooms runs one more node of examples/room.
func startRooms(t *testing.T, c *cluster.Cluster, id string, weight int) {
	t.Helper()
	upstream := cluster.FreeAddress(t)
	cluster.Run(t, id, cluster.Binary(t), "sidecar", "--id", id, "--weight", fmt.Sprint(weight), "--listen", cluster.FreeAddress(t),
		"--control", c.APIs[0], "--data-dir", t.TempDir(), "--hooks", "--upstream", upstream, "--", "node", "../../examples/room/room.mjs", port(upstream))
}

// awaitRooms waits until nodes of it have their shares of the slots, and the proxies know.
func awaitRooms(t *testing.T, c *cluster.Cluster, ids ...api.NodeID) {
	t.Helper()
	for _, id := range ids {
		awaitMoved(t, c, id, func(slots int) bool { return slots > 0 })
	}
	awaitWhole(t, c, 1)
	c.AwaitConverged()
}

func say(t *testing.T, ws *webSocket, text string) {
	t.Helper()
	if err := ws.say(text); err != nil {
		t.Fatal(err)
	}
}
