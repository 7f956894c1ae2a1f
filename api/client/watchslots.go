package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/stead-io/stead/api"
)

// WatchSlots calls onFeed with all configurations of slots, then with every set of changes to them, until the
// context ends; it returns the context's error. Cursors rise from call to call; a feed of a higher generation
// is full. A feed may repeat what an earlier one told. Whatever fails is tried again, at the next member, for
// ever. onFeed runs on the watcher's goroutine; the next poll begins when it returns.
func (c *Client) WatchSlots(ctx context.Context, onFeed func(api.SlotFeed)) error {
	w := &slotWatcher{client: c, onFeed: onFeed}
	return c.keepPolling(ctx, "slots", w.poll)
}

type slotWatcher struct {
	client  *Client
	onFeed  func(api.SlotFeed)
	cluster api.ClusterID
	cursor  api.SlotCursor // of the last feed; zero before the first
	version api.Version    // of the ring at the last feed
	chase   chase
}

// poll asks one member for what changed since the cursor, for everything without one.
func (w *slotWatcher) poll(ctx context.Context, member int) error {
	asked := time.Now()
	got, err := w.ask(ctx, member)
	switch {
	case err != nil:
		return err
	case w.begun() && got.cluster != "" && got.cluster != w.cluster:
		return errCluster
	case got.status == http.StatusNoContent && time.Since(asked) < pollLeast:
		return errEmpty
	case got.status == http.StatusNoContent:
		return nil
	}
	var feed api.SlotFeed
	if err := got.json(&feed); err != nil {
		return err
	}
	return w.take(feed)
}

func (w *slotWatcher) ask(ctx context.Context, member int) (answer, error) {
	if !w.begun() {
		return w.client.exchange(ctx, member, request{
			method: http.MethodGet, path: slotsPath, accept: api.TypeJSON, timeout: fetchTimeout,
		})
	}
	return w.chase.poll(ctx, w.client, member, w.version, request{
		path: slotsPath, accept: api.TypeJSON, query: url.Values{"after": {w.cursor.String()}},
	})
}

func (w *slotWatcher) begun() bool { return w.cluster != "" }

var errGap = errors.New("the member left out slots that were not told before")

// take hands a feed out if it may be: of the same cluster, newer, and with nothing missing before it.
func (w *slotWatcher) take(feed api.SlotFeed) error {
	switch {
	case feed.Cluster == "" || w.begun() && feed.Cluster != w.cluster:
		return errCluster
	case w.begun() && feed.Cursor.Compare(w.cursor) <= 0:
		return errStale
	case !feed.Full && feed.Cursor.Generation != w.cursor.Generation:
		return errGap
	}
	w.cluster, w.cursor, w.version = feed.Cluster, feed.Cursor, feed.Version
	w.onFeed(feed)
	return nil
}
