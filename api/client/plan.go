package client

import (
	"context"
	"fmt"

	"github.com/stead-io/stead/api"
)

// Plan computes what changes of nodes would do to the ring, or carries them out if they say so.
func (c *Client) Plan(ctx context.Context, ask api.PlanAsk) (api.RingPlan, error) {
	aim := "plan the ring"
	if ask.Apply {
		aim = "apply the plan"
	}
	return call[api.RingPlan](ctx, c, post(aim, "/v1/ring/plan", ask))
}

// Rollback goes back to the ring that a change wanted, or computes what that would do.
func (c *Client) Rollback(ctx context.Context, ask api.RollbackAsk) (api.RingPlan, error) {
	return call[api.RingPlan](ctx, c, post(fmt.Sprintf("roll back to change %d", ask.Change), "/v1/ring/rollback", ask))
}

// Maintain announces a node's absence for a while; 0 ends it.
func (c *Client) Maintain(ctx context.Context, id api.NodeID, lasts api.Duration) (api.Changed, error) {
	ask := post(fmt.Sprintf("set the maintenance of node %s", id), nodePath(id)+"/maintenance", api.MaintenanceAsk{For: &lasts})
	return call[api.Changed](ctx, c, ask)
}
