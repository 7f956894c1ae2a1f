package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/stead-io/stead/api"
)

// Cluster shows settings, members and the state of the cluster.
func (c *Client) Cluster(ctx context.Context) (api.Cluster, error) {
	return call[api.Cluster](ctx, c, get("show the cluster", "/v1/cluster", nil))
}

// SetCluster changes settings of the cluster.
func (c *Client) SetCluster(ctx context.Context, patch api.SettingsPatch) (api.Changed, error) {
	ask := post("change the cluster's settings", "/v1/cluster", patch)
	ask.method = http.MethodPatch
	return call[api.Changed](ctx, c, ask)
}

// TransferLeader hands leadership to a member, by name or id; empty: to the one Raft prefers.
func (c *Client) TransferLeader(ctx context.Context, to string) error {
	ask := post("transfer leadership", "/v1/leader/transfer", api.LeaderTransfer{To: to})
	ask.keyed = false // it is no command of the log
	_, err := call[struct{}](ctx, c, ask)
	return err
}

// Proxies lists the proxies that beat.
func (c *Client) Proxies(ctx context.Context) (api.ProxyList, error) {
	return call[api.ProxyList](ctx, c, get("list the proxies", "/v1/proxies", nil))
}

// ProxyBeat tells the control plane that a proxy lives; like Beat it tries each member once.
func (c *Client) ProxyBeat(ctx context.Context, id api.ProxyID, beat api.ProxyBeat) (api.ProxyBeaten, error) {
	beaten, err := call[api.ProxyBeaten](ctx, c, request{
		aim: fmt.Sprintf("beat for proxy %s", id), method: http.MethodPost,
		path: "/v1/proxies/" + url.PathEscape(string(id)) + "/beat",
		body: beat, timeout: beatTimeout, once: true,
	})
	c.horizon.raise(beaten.Version)
	return beaten, err
}
