package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

const pollTypes = api.TypeRingDelta + ", " + api.TypeRing

var (
	errStale   = errors.New("the member knows no newer ring than the one held")
	errCluster = errors.New("the member belongs to another cluster")
	errEmpty   = errors.New("the member ended the poll early without an answer")
)

// Watch calls onView for every ring newer than have, which may be nil, until the context ends; it
// returns the context's error. Views come in order: never an older version, a lower generation or
// another cluster, but in place of one without a node, which a restore may have made that other. Whatever
// fails is tried again, at the next member, for ever. onView runs on the watcher's goroutine; the next poll
// begins when it returns.
func (c *Client) Watch(ctx context.Context, have *ring.View, onView func(*ring.View)) error {
	w := &watcher{client: c, have: have, onView: onView}
	return c.keepPolling(ctx, "ring", w.poll)
}

type watcher struct {
	client *Client
	have   *ring.View
	onView func(*ring.View)
	chase  chase
}

// poll asks one member for what is newer than the view held, and takes it.
func (w *watcher) poll(ctx context.Context, member int) error {
	if w.have == nil {
		return w.fetch(ctx, member)
	}
	asked := time.Now()
	got, err := w.ask(ctx, member)
	switch {
	case api.CodeOf(err) == api.CodeVersionGone:
		return w.fetch(ctx, member)
	case err != nil:
		return err
	case w.foreign(got.cluster):
		return errCluster
	case got.status == http.StatusNoContent && time.Since(asked) < pollLeast:
		return errEmpty
	case got.status == http.StatusNoContent:
		return nil
	}
	view, err := w.read(got)
	if err != nil {
		w.client.logger.Info("fetching the full ring", "reason", err)
		return w.fetch(ctx, member)
	}
	return w.take(view)
}

// ask is the long-poll for the ring.
func (w *watcher) ask(ctx context.Context, member int) (answer, error) {
	version := w.have.Table.Version
	return w.chase.poll(ctx, w.client, member, version, request{
		path: "/v1/ring", accept: pollTypes, query: url.Values{"after": {version.String()}},
	})
}

// read turns an answer into the view it leads to.
func (w *watcher) read(got answer) (*ring.View, error) {
	if got.kind != api.TypeRingDelta {
		return got.view()
	}
	var delta api.RingDelta
	if err := json.Unmarshal(got.body, &delta); err != nil {
		return nil, fmt.Errorf("cannot decode the delta: %w", err)
	}
	return w.have.Apply(&delta)
}

// fetch takes the full ring.
func (w *watcher) fetch(ctx context.Context, member int) error {
	got, err := w.client.exchange(ctx, member, request{
		method: http.MethodGet, path: "/v1/ring", accept: api.TypeRing, timeout: fetchTimeout,
	})
	if err != nil {
		return err
	}
	view, err := got.view()
	if err != nil {
		return err
	}
	return w.take(view)
}

// take hands a view out if it may be: it is newer and of the same cluster.
func (w *watcher) take(view *ring.View) error {
	if w.foreign(view.Table.Cluster) {
		return errCluster
	}
	if w.have != nil && view.Table.Cluster == w.have.Table.Cluster && view.Table.Version.Compare(w.have.Table.Version) <= 0 {
		return errStale
	}
	w.have = view
	w.onView(view)
	return nil
}

func (w *watcher) foreign(cluster api.ClusterID) bool {
	return w.have != nil && cluster != "" && cluster != w.have.Table.Cluster && !w.have.Table.Blank()
}
