package ring

import (
	"errors"
	"fmt"

	"github.com/stead-io/stead/api"
)

// integerMax is the largest integer that JSON carries exactly everywhere; versions and epochs stay
// below it in every form.
const integerMax = 1<<53 - 1

// ErrInvalid is in the chain of every error about a table, view or delta that is not whole and consistent.
var ErrInvalid = errors.New("not a consistent ring")

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// Validate reports the first thing that keeps the table from being whole: its binary form then
// either cannot be written or would be refused by DecodeTable.
func (t *Table) Validate() error {
	if err := t.Cluster.Validate(); err != nil {
		return invalid("%v", err)
	}
	if t.Version.Generation > integerMax || t.Version.Number > integerMax || t.Previous > integerMax {
		return invalid("version %s after %d is past 2^53-1", t.Version, t.Previous)
	}
	if err := validateGeometry(t.Bits, t.Replicas, t.Hash); err != nil {
		return err
	}
	if err := validateNodes(t.Nodes); err != nil {
		return err
	}
	return t.validateSlots()
}

func validateGeometry(k Bits, replicas int, hash HashID) error {
	if k < api.SlotBitsMin || k > api.SlotBitsMax {
		return invalid("k is %d, not %d to %d", k, api.SlotBitsMin, api.SlotBitsMax)
	}
	if replicas < 1 || replicas > api.ReplicasMax {
		return invalid("R is %d, not 1 to %d", replicas, api.ReplicasMax)
	}
	if _, known := hashNames[hash]; !known {
		return invalid("hash %d is not known", hash)
	}
	return nil
}

func validateNodes(nodes []Node) error {
	if len(nodes) > int(NoNode) {
		return invalid("%d node indexes, at most %d", len(nodes), NoNode)
	}
	seen := make(map[api.NodeID]NodeIndex, len(nodes))
	for i, node := range nodes {
		if node.ID == "" {
			if node != (Node{}) {
				return invalid("free index %d carries an address or a status", i)
			}
			continue
		}
		if err := validateNode(node); err != nil {
			return invalid("node %d: %v", i, err)
		}
		if earlier, twice := seen[node.ID]; twice {
			return invalid("node %s stands at %d and %d", node.ID, earlier, i)
		}
		seen[node.ID] = NodeIndex(i)
	}
	return nil
}

func validateNode(node Node) error {
	if err := node.ID.Validate(); err != nil {
		return err
	}
	if err := api.ValidateNodeAddress(node.Address); err != nil {
		return err
	}
	if _, known := statusNames[node.Status]; !known {
		return fmt.Errorf("status %d is not known", node.Status)
	}
	return nil
}

func (t *Table) validateSlots() error {
	slots := t.Bits.Slots()
	if len(t.Epochs) != slots || len(t.Owners) != slots*t.Replicas {
		return invalid("%d epochs and %d owners for %d slots of %d", len(t.Epochs), len(t.Owners), slots, t.Replicas)
	}
	for i, epoch := range t.Epochs {
		if epoch > integerMax {
			return invalid("slot %d: epoch %d is past 2^53-1", i, epoch)
		}
		if err := t.validateReplicas(t.ReplicasOf(Slot(i))); err != nil {
			return invalid("slot %d: %v", i, err)
		}
	}
	return nil
}

func (t *Table) validateReplicas(replicas []NodeIndex) error {
	for i, index := range replicas {
		if index == NoNode {
			continue
		}
		if _, listed := t.Node(index); !listed {
			return fmt.Errorf("node %d is not listed", index)
		}
		for _, earlier := range replicas[:i] {
			if earlier == index {
				return fmt.Errorf("node %d stands twice", index)
			}
			if earlier == NoNode {
				return fmt.Errorf("node %d stands behind an empty place", index)
			}
		}
	}
	return nil
}
