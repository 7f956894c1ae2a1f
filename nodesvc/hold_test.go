package nodesvc

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stead-io/stead/nodesvc/replication"
)

// TestHold: what holds a slot is told when that is about to leave, when it has left, and when the node ends; what
// leaves it where it is does not count.
func TestHold(t *testing.T) {
	run := func(name string, change func(*testing.T, *Node, *fakeControl), ends bool) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			control := newFakeControl(testView(t, 7, 5, "n0"))
			node := openNode(t, testConfig(control))
			defer closeNode(t, node)
			synctest.Wait()
			err := node.Hold(t.Context(), []byte("acme"), func(ctx context.Context) {
				change(t, node, control)
				synctest.Wait()
				if ended := ctx.Err() != nil; ended != ends {
					t.Errorf("%s: ended %v", name, ended)
				}
			})
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	run("another ring", func(t *testing.T, _ *Node, c *fakeControl) { c.publish(testView(t, 8, 6, "n0")) }, false)
	run("another node", func(t *testing.T, _ *Node, c *fakeControl) { c.publish(testView(t, 8, 6, "n1")) }, true)
	run("a fault", func(_ *testing.T, n *Node, _ *fakeControl) { n.fail(errAway) }, true)
	run("leaving", func(t *testing.T, n *Node, _ *fakeControl) {
		go func() { _ = n.Leave(t.Context()) }()
		time.Sleep(time.Minute) // of the bubble's
	}, true)
}

// TestHoldInAnEngine: the slot is held there, until it begins to leave.
func TestHoldInAnEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine(replication.PlaceHere)
		config, control := engineConfig(t, f)
		node := openNode(t, config)
		defer closeNode(t, node)
		synctest.Wait()
		err := node.Hold(t.Context(), []byte("acme"), func(ctx context.Context) {
			f.stand(replication.PlaceComing, 5, "n1")
			<-ctx.Done()
		})
		if slot := control.view.Slot([]byte("acme")); err != nil || !slices.Contains(f.calls, fmt.Sprintf("hold %d", slot)) {
			t.Errorf("%v; the engine was asked to %q", err, f.calls)
		}
	})
}
