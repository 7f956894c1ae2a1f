package fsm

import (
	"time"

	"github.com/stead-io/stead/api"
)

// Maintenance says that a node's absence is expected for a while: its slots stay its, also of a node
// that resets. For 0 ends it.
type Maintenance struct {
	Node api.NodeID   `json:"node"`
	For  api.Duration `json:"for"`
}

func (Maintenance) commandType() CommandType { return TypeMaintenance }

func (d *draft) maintenance(command Maintenance) *api.Problem {
	known, problem := d.state.mustNode(command.Node)
	if problem != nil {
		return problem
	}
	if problem := api.ValidateMaintenance(command.For); problem != nil {
		return problem
	}
	now := d.state.Time()
	if command.For == 0 && !known.Maintained(now) {
		d.result.Note = "the node is in no maintenance"
		return nil
	}
	node := *known
	node.Maintenance = now.Add(time.Duration(command.For)).UnixMilli()
	d.setNode(node.Index, &node)
	change := d.addChange("maintenance", command.Node, api.ChangeDone)
	if command.For == 0 {
		change.Detail = "ended"
		return nil
	}
	change.Detail = "until " + time.UnixMilli(node.Maintenance).UTC().Format(time.RFC3339)
	return nil
}

// Maintained reports whether the node's absence is expected at a time of the state's clock. A drained
// node is not spared: its slots were asked to go.
func (n *Node) Maintained(now time.Time) bool {
	return !n.Draining && n.Maintenance > now.UnixMilli()
}

// supersedeAwaited closes the expiries of a node whose maintenance they waited for, or where nodes hand their
// slots over, that wait for a plan: it came back, or a person decided.
func (d *draft) supersedeAwaited(node *Node) {
	if node.Maintenance == 0 && !d.state.Managed() {
		return
	}
	var over []api.ChangeID
	for _, change := range d.before.Pending() {
		if change.Node == node.Registration.ID && change.Expires() {
			over = append(over, change.ID)
			d.editChange(change.ID, func(change *Change) {
				change.Status, change.Finished = api.ChangeSuperseded, d.header.Time
			})
		}
	}
	d.state.pending = without(d.state.pending, over)
}

// Expires reports whether the change gives a node up for gone.
func (c *Change) Expires() bool { return c.Kind == "expire" || c.Kind == "leave" || c.Kind == "out" }
