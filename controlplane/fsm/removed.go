package fsm

import (
	"slices"

	"github.com/stead-io/stead/api"
)

// removedKept is how many removed nodes are remembered; the oldest are forgotten.
const removedKept = 1000

// Removed is a node of a managed cluster that a person took off the list, and the store and process it was. It does
// not come back by itself: its process lives on, perhaps, or is started again by a machine.
type Removed struct {
	Node  api.NodeID  `json:"node"`
	Store api.StoreID `json:"store"`
	Nonce string      `json:"nonce,omitempty"`
}

func (d *draft) noteRemoved(node *Node) {
	is := node.Registration
	if !d.state.Managed() || is.StoreID == "" {
		return
	}
	list := append(d.state.removedBut(is), Removed{Node: is.ID, Store: is.StoreID, Nonce: is.Nonce})
	d.state.removed = list[max(0, len(list)-removedKept):]
}

// removedBut is a list of its own of all removed nodes but for one store.
func (s *State) removedBut(is api.Registration) []Removed {
	return slices.DeleteFunc(slices.Clone(s.removed), func(r Removed) bool { return r.Node == is.ID && r.Store == is.StoreID })
}

// checkRemoved refuses a node that was removed: the same process always, the same store unless it is said to
// come back on purpose.
func (s *State) checkRemoved(asked api.Registration) *api.Problem {
	for _, was := range s.removed {
		lives := was.Nonce != "" && was.Nonce == asked.Nonce
		if was.Node == asked.ID && was.Store == asked.StoreID && (lives || !asked.Replace) {
			return api.NewProblem(api.CodeNodeRemoved, "node %s was removed with this store", asked.ID).InField("id").
				WithNext(`to have it back, start it with --replace ("replace": true), or with an empty data folder`)
		}
	}
	return nil
}
