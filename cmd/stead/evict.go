package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/api"
)

// keptSlotsMax is how many of the slots that an evicted node keeps are named.
const keptSlotsMax = 20

func evictCommand(o *operator) *cobra.Command {
	return &cobra.Command{
		Use:   "evict ID",
		Short: "Take a node's slots away without its help",
		Long: `Take a node's slots away without its help: other nodes that have all of a slot's state serve it at once,
and the node is drained of the rest. For a node that hangs, or cannot be trusted. What only it has, it
keeps; which slots, and why, is said.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: o.completeNode,
		RunE: o.with(func(s *session, args []string) error {
			id := api.NodeID(args[0])
			if err := id.Validate(); err != nil {
				return usageError{err}
			}
			evicted, err := s.EvictNode(s.command.Context(), id)
			if err != nil {
				return err
			}
			if s.json {
				return writeJSON(s.stdout(), evicted)
			}
			for _, kept := range evicted.Kept {
				s.say("%s keeps %s: %s (%s)", id, plural(len(kept.Slots), "slot"), kept.Reason, slotNumbers(kept.Slots))
			}
			return s.printChanged(evicted.Changed, diskOf(id))
		}),
	}
}

// slotNumbers lists the first of some slots.
func slotNumbers(slots []api.Slot) string {
	var numbers []string
	for _, slot := range slots[:min(len(slots), keptSlotsMax)] {
		numbers = append(numbers, fmt.Sprint(slot))
	}
	if more := len(slots) - len(numbers); more > 0 {
		numbers = append(numbers, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(numbers, ", ")
}
