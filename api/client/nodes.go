package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/stead-io/stead/api"
)

// Register makes a node known, or known again. The registration should carry the nonce of its
// process: it makes a repeated one harmless.
func (c *Client) Register(ctx context.Context, registration api.Registration) (api.Registered, error) {
	return call[api.Registered](ctx, c, request{
		aim: fmt.Sprintf("register node %s", registration.ID), method: http.MethodPost, path: "/v1/nodes",
		body: registration, timeout: attemptTimeout,
	})
}

// Beat tells the control plane that a node lives. It tries each member once: the next beat is due
// before patience would pay.
func (c *Client) Beat(ctx context.Context, id api.NodeID, beat api.Beat) (api.Beaten, error) {
	beaten, err := call[api.Beaten](ctx, c, request{
		aim: fmt.Sprintf("beat for node %s", id), method: http.MethodPost, path: nodePath(id) + "/beat",
		body: beat, timeout: beatTimeout, once: true,
	})
	c.horizon.raise(beaten.Version)
	return beaten, err
}

// Nodes lists the nodes.
func (c *Client) Nodes(ctx context.Context) (api.NodeList, error) {
	return call[api.NodeList](ctx, c, get("list the nodes", "/v1/nodes", nil))
}

// Node shows one node.
func (c *Client) Node(ctx context.Context, id api.NodeID) (api.Node, error) {
	return call[api.Node](ctx, c, get(fmt.Sprintf("show node %s", id), nodePath(id), nil))
}

// Drain takes a node's slots away while it runs.
func (c *Client) Drain(ctx context.Context, id api.NodeID) (api.Changed, error) {
	return call[api.Changed](ctx, c, post(fmt.Sprintf("drain node %s", id), nodePath(id)+"/drain", nil))
}

// Undrain lets a drained node hold slots again.
func (c *Client) Undrain(ctx context.Context, id api.NodeID) (api.Changed, error) {
	return call[api.Changed](ctx, c, post(fmt.Sprintf("undrain node %s", id), nodePath(id)+"/undrain", nil))
}

// PatchNode sets a node's weight or zone.
func (c *Client) PatchNode(ctx context.Context, id api.NodeID, patch api.NodePatch) (api.Changed, error) {
	ask := post(fmt.Sprintf("change node %s", id), nodePath(id), patch)
	ask.method = http.MethodPatch
	return call[api.Changed](ctx, c, ask)
}

// Remove forgets a node; force gives up the last copies of state it holds. When the node is gone
// only because an earlier try of this call removed it, that is a success.
func (c *Client) Remove(ctx context.Context, id api.NodeID, force bool) (api.Changed, error) {
	ask := post(fmt.Sprintf("remove node %s", id), nodePath(id), nil)
	ask.method = http.MethodDelete
	if force {
		ask.query = url.Values{"force": {"lossy"}}
	}
	changed, repeated, err := callTracked[api.Changed](ctx, c, ask)
	if repeated && api.CodeOf(err) == api.CodeNodeUnknown {
		return api.Changed{Note: "the node is gone; the answer that said so was lost on the way"}, nil
	}
	return changed, err
}

func nodePath(id api.NodeID) string { return "/v1/nodes/" + url.PathEscape(string(id)) }

func get(aim, path string, query url.Values) request {
	return request{aim: aim, method: http.MethodGet, path: path, query: query, timeout: attemptTimeout}
}

func post(aim, path string, body any) request {
	return request{aim: aim, method: http.MethodPost, path: path, body: body, timeout: attemptTimeout, keyed: true}
}
