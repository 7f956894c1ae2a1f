package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/api"
)

func diffCommand(o *operator) *cobra.Command {
	var eachSlot bool
	command := &cobra.Command{
		Use:   "diff FROM [TO]",
		Short: "Compare two versions of the ring, or show what a change did",
		Long: `Compare two kept points of the ring, each a version (7 or 1-7) or a change (c12, meaning the ring as
it left it). A version alone is compared with the newest; a change alone shows what it did itself.`,
		Example: `  stead ring diff 12 c15
  stead ring diff c15 --each-slot`,
		Args: cobra.RangeArgs(1, 2),
		RunE: o.with(func(s *session, args []string) error { return diff(s, args, eachSlot) }),
	}
	command.Flags().BoolVar(&eachSlot, "each-slot", false, "list every slot that differs")
	return command
}

func diff(s *session, points []string, eachSlot bool) error {
	diff, err := compare(s, points)
	if err != nil {
		return err
	}
	if s.json {
		return writeJSON(s.stdout(), diff)
	}
	fmt.Fprintf(s.stdout(), "%s to %s: %s moved (%.1f %%), %s differ\n", diff.From, diff.To,
		plural(diff.Moved, "slot"), 100*diff.Share, plural(len(diff.Slots), "slot"))
	if len(diff.Nodes) > 0 {
		nodes := diffNodes(diff.Nodes)
		fmt.Fprintln(s.stdout())
		if err := nodes.write(s.stdout()); err != nil {
			return err
		}
	}
	if !eachSlot || len(diff.Slots) == 0 {
		return nil
	}
	slots := table{header: []string{"SLOT", "BEFORE", "AFTER"}}
	for _, slot := range diff.Slots {
		slots.add(slot.Slot, owner(slot.Before), owner(slot.After))
	}
	fmt.Fprintln(s.stdout())
	return slots.write(s.stdout())
}

// ringPoint is a version (7 or 1-7), or a change (c12): the ring as it left it.
var ringPoint = regexp.MustCompile(`^(c[0-9]+|([0-9]+-)?[0-9]+)$`)

// compare asks for the difference between two points, or for that one change made.
func compare(s *session, points []string) (api.RingDiff, error) {
	ctx := s.command.Context()
	for _, point := range points {
		if !ringPoint.MatchString(point) {
			return api.RingDiff{}, usage("%q is neither a version such as 7 or 1-7 nor a change such as c12", point)
		}
	}
	number, isChange := strings.CutPrefix(points[0], "c")
	switch {
	case len(points) == 2:
		return s.Diff(ctx, points[0], points[1])
	case !isChange:
		return s.Diff(ctx, points[0], "")
	}
	id, err := strconv.ParseUint(number, 10, 53)
	if err != nil {
		return api.RingDiff{}, usage("%q is neither a version such as 7 or 1-7 nor a change such as c12", points[0])
	}
	return s.DiffChange(ctx, api.ChangeID(id))
}

func diffNodes(nodes []api.NodeDiff) table {
	t := table{header: []string{"NODE", "BEFORE", "AFTER", "CHANGE"}}
	for _, node := range nodes {
		var before, after api.NodeShare
		if node.Before != nil {
			before = *node.Before
		}
		if node.After != nil {
			after = *node.After
		}
		t.add(node.ID, share(node.Before), share(node.After), fmt.Sprintf("%+d", after.Slots-before.Slots))
	}
	return t
}

func share(side *api.NodeShare) string {
	if side == nil {
		return "not listed"
	}
	return fmt.Sprintf("%s at %s, %s", plural(side.Slots, "slot"), side.Address, side.Status)
}

func owner(side api.SlotOwner) string {
	if len(side.Replicas) == 0 {
		return fmt.Sprintf("nobody, epoch %d", side.Epoch)
	}
	return fmt.Sprintf("%s, epoch %d", side.Replicas[0], side.Epoch)
}
