package client

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// Ring fetches the full ring, once.
func (c *Client) Ring(ctx context.Context) (*ring.View, error) {
	ask := get("fetch the ring", "/v1/ring", nil)
	ask.accept, ask.timeout = api.TypeRing, fetchTimeout
	var view *ring.View
	_, err := c.perform(ctx, ask, func(got answer) (err error) {
		view, err = got.view()
		return err
	})
	return view, err
}

// view reads the full ring.
func (a answer) view() (*ring.View, error) {
	if a.status != http.StatusOK || a.kind != api.TypeRing {
		return nil, fmt.Errorf("answered %d with %q, not with a ring", a.status, api.Clip(a.kind))
	}
	view, err := ring.DecodeView(a.body)
	if err != nil {
		return nil, fmt.Errorf("cannot decode the ring: %w", err)
	}
	return view, nil
}

// Versions lists ring versions, newest first, from below before (0: from the newest), at most limit
// (0: as many as the control plane likes).
func (c *Client) Versions(ctx context.Context, before uint64, limit int) (api.VersionList, error) {
	return call[api.VersionList](ctx, c, get("list the ring's versions", "/v1/ring/versions", page(before, limit)))
}

// VersionAt shows one version.
func (c *Client) VersionAt(ctx context.Context, number uint64) (api.RingVersion, error) {
	path := "/v1/ring/versions/" + strconv.FormatUint(number, 10)
	return call[api.RingVersion](ctx, c, get(fmt.Sprintf("show ring version %d", number), path, nil))
}

// Changes lists changes, newest first, paged as Versions are.
func (c *Client) Changes(ctx context.Context, before api.ChangeID, limit int) (api.ChangeList, error) {
	return call[api.ChangeList](ctx, c, get("list the changes", "/v1/ring/changes", page(uint64(before), limit)))
}

// Change shows one change with the replicas it wanted.
func (c *Client) Change(ctx context.Context, id api.ChangeID) (api.Change, error) {
	path := "/v1/ring/changes/" + strconv.FormatUint(uint64(id), 10)
	return call[api.Change](ctx, c, get(fmt.Sprintf("show change %d", id), path, nil))
}

// Diff compares two kept points of the ring, each a version ("7", "1-7") or a change ("c12"); an
// empty to is the newest version.
func (c *Client) Diff(ctx context.Context, from, to string) (api.RingDiff, error) {
	query := url.Values{"from": {from}}
	if to != "" {
		query.Set("to", to)
	}
	return call[api.RingDiff](ctx, c, get("compare ring versions", "/v1/ring/diff", query))
}

// DiffChange shows what one change did to the ring.
func (c *Client) DiffChange(ctx context.Context, id api.ChangeID) (api.RingDiff, error) {
	query := url.Values{"change": {strconv.FormatUint(uint64(id), 10)}}
	return call[api.RingDiff](ctx, c, get(fmt.Sprintf("show what change %d did", id), "/v1/ring/diff", query))
}

// Locate says where a key lives.
func (c *Client) Locate(ctx context.Context, key []byte) (api.Location, error) {
	query := url.Values{"key_hex": {hex.EncodeToString(key)}}
	return call[api.Location](ctx, c, get("locate the key", "/v1/ring/locate", query))
}

// Rebalance evens out the ring, slots of nodes that wait with their state included.
func (c *Client) Rebalance(ctx context.Context) (api.Changed, error) {
	return call[api.Changed](ctx, c, post("rebalance the ring", "/v1/ring/rebalance", api.Rebalance{}))
}

func page(before uint64, limit int) url.Values {
	query := url.Values{}
	if before > 0 {
		query.Set("before", strconv.FormatUint(before, 10))
	}
	if limit > 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	return query
}
