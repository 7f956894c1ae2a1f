package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/api"
)

// slotRowsMax is how many slots that want attention are listed one by one.
const slotRowsMax = 20

func slotsCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "slots",
		Short: "Show how the slots are: settled, moving, stranded",
		Long: fmt.Sprintf(`Count the slots by how they are, and list the first %d that are not settled: moving (served, but not yet
by all who should hold them), stranded (the primary is down or runs with another store, and nobody else in sync is up), recovering
(the state was restored), unassigned. With -o json, all of them.`, slotRowsMax),
		Args: cobra.NoArgs,
	}
	o := newOperator(command)
	command.RunE = o.with(listSlots)
	command.AddCommand(
		&cobra.Command{Use: "show SLOT", Short: "Show one slot's configuration", Args: cobra.ExactArgs(1), RunE: o.with(showSlot)},
		forceCommand(o),
	)
	return command
}

func listSlots(s *session, _ []string) error {
	feed, err := s.Slots(s.command.Context())
	if err != nil {
		return err
	}
	if s.json {
		return writeJSON(s.stdout(), feed)
	}
	up := upIn(feed.Nodes)
	counts := map[api.SlotStanding]int{}
	unsettled := table{header: []string{"SLOT", "STATE", "EPOCH", "PRIMARY", "IN SYNC", "WANT"}}
	for _, slot := range feed.Slots {
		standing := slot.Standing(up)
		counts[standing]++
		if standing != api.SlotSettled && standing != api.SlotUnassigned && len(unsettled.rows) < slotRowsMax {
			unsettled.add(slot.Slot, standing, slot.Epoch, slot.Primary, memberNames(slot.ISR), nodeNames(slot.Want))
		}
	}
	summary := table{header: []string{"STATE", "SLOTS", "SHARE"}}
	for _, standing := range api.SlotStandings {
		summary.add(standing, counts[standing], percent(counts[standing], len(feed.Slots)))
	}
	if err := summary.write(s.stdout()); err != nil || len(unsettled.rows) == 0 {
		return err
	}
	fmt.Fprintln(s.stdout())
	return unsettled.write(s.stdout())
}

// upIn reports which replicas are up; those of nodes that are not listed are not.
func upIn(nodes []api.SlotNode) func(api.Replica) bool {
	listed := map[api.NodeID]api.SlotNode{}
	for _, node := range nodes {
		listed[node.ID] = node
	}
	return func(r api.Replica) bool { return listed[r.Node].Runs(r) }
}

func memberNames(set []api.Replica) string {
	names := make([]string, len(set))
	for i, replica := range set {
		names[i] = string(replica.Node)
	}
	return strings.Join(names, " ")
}

func nodeNames(ids []api.NodeID) string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = string(id)
	}
	return strings.Join(names, " ")
}

// slotArgument reads a slot's number; whether the ring has it, the control plane says.
func slotArgument(text string) (api.Slot, error) {
	number, err := strconv.ParseUint(text, 10, api.SlotBitsMax)
	if err != nil {
		return 0, usage("%q is not the number of a slot", text)
	}
	return api.Slot(number), nil
}

func showSlot(s *session, args []string) error {
	number, err := slotArgument(args[0])
	if err != nil {
		return err
	}
	slot, err := s.Slot(s.command.Context(), number)
	if err != nil {
		return err
	}
	return s.print(slot, func(t *table) {
		t.add("slot", slot.Slot)
		t.add("epoch", slot.Epoch)
		t.add("primary", slot.Primary)
		for _, replica := range slot.ISR {
			t.add("in sync", strings.TrimSpace(fmt.Sprintf("%s %s", replica.Node, replica.Store)))
		}
		t.add("want", nodeNames(slot.Want))
		t.add("changed by", strings.TrimSpace(fmt.Sprintf("%s %s", slot.Kind, slot.Proposer)))
		if slot.Recovering {
			t.add("recovering", "waits for the stores that held it to report")
		}
	})
}

func forceCommand(o *operator) *cobra.Command {
	var node string
	var sure bool
	command := &cobra.Command{
		Use:   "force SLOT --node ID --yes",
		Short: "Make a node the only holder of a slot that nobody serves, whatever state it has of it",
		Long: `Make a node the only holder of a slot that nobody serves, whatever state it has of it: nothing, perhaps. What
others hold is given up, and history says lossy. It is the last resort for a slot whose nodes do not come
back; a node that was only cut off may have acknowledged writes that are lost by this. A slot whose primary
is up is refused: stead nodes drain and stead ring plan move it with its state.`,
		Example: "  stead slots force 1234 --node n3 --yes",
		Args:    cobra.ExactArgs(1),
		RunE: o.with(func(s *session, args []string) error {
			slot, err := slotArgument(args[0])
			if err != nil {
				return err
			}
			if node == "" {
				return usage("--node says which node is to hold the slot")
			}
			id := api.NodeID(node)
			if err := id.Validate(); err != nil {
				return usageError{fmt.Errorf("--node: %w", err)}
			}
			if !sure {
				return usage("state may be lost by this: add --yes")
			}
			changed, err := s.ForceSlot(s.command.Context(), slot, id)
			if err != nil {
				return err
			}
			return s.printChanged(changed, theirDisks)
		}),
	}
	command.Flags().StringVar(&node, "node", "", "`id` of the node that is to hold the slot")
	command.Flags().BoolVar(&sure, "yes", false, "give up what other nodes hold of the slot")
	return command
}
