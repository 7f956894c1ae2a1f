package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/stead-io/stead/api"
)

// Slots fetches the configurations of all slots, once.
func (c *Client) Slots(ctx context.Context) (api.SlotFeed, error) {
	ask := get("list the slots", slotsPath, nil)
	ask.timeout = fetchTimeout
	return call[api.SlotFeed](ctx, c, ask)
}

// Slot shows the configuration of one slot.
func (c *Client) Slot(ctx context.Context, slot api.Slot) (api.SlotConfig, error) {
	return call[api.SlotConfig](ctx, c, get(fmt.Sprintf("show slot %d", slot), slotPath(slot), nil))
}

// ProposeSlots asks for the next configurations of slots, for the node that runs here. It may be repeated:
// what an earlier try reached is accepted again. Without a deadline of its own it gives up after callPatience.
func (c *Client) ProposeSlots(ctx context.Context, proposals api.SlotProposals) (api.SlotVerdicts, error) {
	aim := fmt.Sprintf("propose configurations for node %s", proposals.Node)
	if count := len(proposals.Proposals); count > api.SlotProposalsMax {
		return api.SlotVerdicts{}, fmt.Errorf("cannot %s: %d are more than %d", aim, count, api.SlotProposalsMax)
	}
	verdicts, err := call[api.SlotVerdicts](ctx, c, request{
		aim: aim, method: http.MethodPost, path: slotsPath + "/cas", body: proposals, timeout: attemptTimeout,
	})
	if err == nil && len(verdicts.Verdicts) != len(proposals.Proposals) {
		return api.SlotVerdicts{}, fmt.Errorf("cannot %s: %d verdicts answer %d proposals", aim, len(verdicts.Verdicts), len(proposals.Proposals))
	}
	return verdicts, err
}

// ReportSlots says what configurations of slots a node's store had adopted before the state was restored.
func (c *Client) ReportSlots(ctx context.Context, id api.NodeID, report api.SlotReport) error {
	_, err := call[api.Changed](ctx, c, request{
		aim: fmt.Sprintf("report for node %s", id), method: http.MethodPost, path: nodePath(id) + "/slots",
		body: report, timeout: reportTimeout,
	})
	return err
}

// CancelChange ends a change; what it has not moved stays where it is.
func (c *Client) CancelChange(ctx context.Context, id api.ChangeID) (api.Changed, error) {
	path := "/v1/ring/changes/" + strconv.FormatUint(uint64(id), 10) + "/cancel"
	return call[api.Changed](ctx, c, post(fmt.Sprintf("cancel change %d", id), path, nil))
}

// EvictNode takes a node's slots away without its help.
func (c *Client) EvictNode(ctx context.Context, id api.NodeID) (api.Evicted, error) {
	return call[api.Evicted](ctx, c, post(fmt.Sprintf("evict node %s", id), nodePath(id)+"/evict", nil))
}

// ForceSlot makes a node the only holder of a slot that nobody serves, whatever state it has of it; history says
// lossy. A slot whose primary is up is refused (slot_served).
func (c *Client) ForceSlot(ctx context.Context, slot api.Slot, node api.NodeID) (api.Changed, error) {
	ask := post(fmt.Sprintf("force slot %d", slot), slotPath(slot)+"/force", api.SlotForce{Node: node})
	return call[api.Changed](ctx, c, ask)
}

const slotsPath = "/v1/slots"

func slotPath(slot api.Slot) string { return slotsPath + "/" + url.PathEscape(strconv.Itoa(int(slot))) }
