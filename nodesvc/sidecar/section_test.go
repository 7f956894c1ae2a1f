package sidecar

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// hooksControl is the control plane of a cluster of state hooks, where node n0 holds every slot.
type hooksControl struct {
	*fakeControl
	stores chan api.StoreID // of the node, once it has registered
}

func newHooksControl(t *testing.T) *hooksControl {
	t.Helper()
	control := &hooksControl{newFakeControl(), make(chan api.StoreID, 1)}
	settings := control.view.Settings
	settings.State = api.StateHooks
	view, err := ring.NewView(settings, control.view.Table)
	if err != nil {
		t.Fatal(err)
	}
	control.view = view
	return control
}

func (c *hooksControl) Register(ctx context.Context, r api.Registration) (api.Registered, error) {
	got, err := c.fakeControl.Register(ctx, r)
	got.Cursor = api.SlotCursor{Generation: 1, Index: 10}
	select {
	case c.stores <- r.StoreID:
	default:
	}
	return got, err
}

func (c *hooksControl) WatchSlots(ctx context.Context, onFeed func(api.SlotFeed)) error {
	select {
	case store := <-c.stores:
		table := c.view.Table
		feed := api.SlotFeed{
			Cluster: table.Cluster, Version: table.Version, Cursor: api.SlotCursor{Generation: 1, Index: 11}, Full: true,
			Settings: c.view.Settings, Nodes: []api.SlotNode{{ID: "n0", Address: "127.0.0.1:1", Store: store, Status: api.NodeUp}},
		}
		for slot := range table.Epochs {
			feed.Slots = append(feed.Slots, api.SlotConfig{
				Slot: api.Slot(slot), Epoch: table.Epochs[slot], Primary: "n0", Want: []api.NodeID{"n0"},
				ISR: []api.Replica{{Node: "n0", Store: store}},
			})
		}
		onFeed(feed)
	case <-ctx.Done():
	}
	<-ctx.Done()
	return ctx.Err()
}

// A Python service behind a sidecar with hooks gets each request with its slot; its exports are not for clients.
func TestSidecarWithHooks(t *testing.T) {
	config := testConfig(nil, pythonApp(t))
	control := newHooksControl(t)
	config.Node.ControlPlane, config.Node.DataDir, config.Hooks = control, t.TempDir(), true
	sidecar := openSidecar(t, config)
	var got answer
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var err error
		if got, err = try("POST", sidecar.Addr(), "/notes/acme", strings.NewReader("hello")); err != nil {
			t.Fatal(err)
		}
		if got.status == http.StatusOK || time.Now().After(deadline) {
			break
		}
	}
	if got.status != http.StatusOK || got.body != "hello\n" || got.header.Get(api.HeaderEpoch) != "5" {
		t.Fatalf("%+v", got)
	}
	slot := control.view.Slot([]byte("acme"))
	h := hooksTo(t, config.Upstream)
	if len(exported(t, h, slot)) == 0 || len(exported(t, h, slot+1)) != 0 {
		t.Error("the note is not in its slot")
	}
	if got := get(t, sidecar.Addr(), "/.stead/slots/"); got.status != http.StatusNotFound && got.status != http.StatusForbidden {
		t.Errorf("the service's hooks are open to clients: %+v", got)
	}
}
