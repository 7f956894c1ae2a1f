package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/api"
)

func nodesCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "nodes",
		Short: "List the nodes, drain, weigh, evict or remove one",
		Args:  cobra.NoArgs,
	}
	o := newOperator(command)
	command.RunE = o.with(listNodes)
	command.AddCommand(
		drainCommand(o),
		nodeChange(o, "undrain ID", "Let a drained node hold slots again", undrainNode),
		weightCommand(o),
		maintenanceCommand(o),
		evictCommand(o),
		removeCommand(o),
	)
	return command
}

func listNodes(s *session, _ []string) error {
	list, err := s.Nodes(s.command.Context())
	if err != nil {
		return err
	}
	return s.print(list, func(t *table) {
		t.header = []string{"ID", "ADDRESS", "STATUS", "SLOTS", "WEIGHT", "ZONE", "ON-DOWN", "HEARD", "SINCE"}
		for _, node := range list.Nodes {
			t.add(node.ID, node.Address, nodeStatus(node), node.Slots, node.Weight, node.Zone, node.OnDown,
				heard(node), moment(node.Since))
		}
	})
}

func nodeStatus(node api.Node) string {
	status := string(node.Status)
	if node.Draining {
		status += ", draining"
	}
	if node.Maintenance != nil {
		status += ", maintenance until " + moment(*node.Maintenance)
	}
	return status
}

// heard says how long ago the node was heard of, for nodes that beat.
func heard(node api.Node) string {
	switch {
	case node.Lease == api.LeaseNone:
		return "static"
	case node.LastBeat == nil:
		return ""
	default:
		return node.LastBeat.String() + " ago"
	}
}

// nodeChange is a command that changes the one node it names.
func nodeChange(o *operator, use, short string, change func(*session, api.NodeID) (api.Changed, error)) *cobra.Command {
	return &cobra.Command{
		Use:               use,
		Short:             short,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: o.completeNode,
		RunE: o.with(func(s *session, args []string) error {
			id := api.NodeID(args[0])
			if err := id.Validate(); err != nil {
				return usageError{err}
			}
			changed, err := change(s, id)
			if err != nil {
				return err
			}
			return s.printChanged(changed, diskOf(id))
		}),
	}
}

func diskOf(id api.NodeID) string { return fmt.Sprintf("%s's disk", id) }

func undrainNode(s *session, id api.NodeID) (api.Changed, error) {
	return s.Undrain(s.command.Context(), id)
}

func removeCommand(o *operator) *cobra.Command {
	var force bool
	command := nodeChange(o, "remove ID", "Forget a node", func(s *session, id api.NodeID) (api.Changed, error) {
		return s.Remove(s.command.Context(), id, force)
	})
	command.Long = `Forget a node. One that has the only copy of slots is refused: drain it first, and its state moves. With
--force the copies are given up, and history says lossy.`
	command.Flags().BoolVar(&force, "force", false, "give up the last copies of state that it holds")
	return command
}

func weightCommand(o *operator) *cobra.Command {
	return &cobra.Command{
		Use:               "weight ID WEIGHT",
		Short:             fmt.Sprintf("Set a node's share of the ring, %d to %d", api.WeightMin, api.WeightMax),
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: o.completeNode,
		RunE: o.with(func(s *session, args []string) error {
			id := api.NodeID(args[0])
			if err := id.Validate(); err != nil {
				return usageError{err}
			}
			weight, err := strconv.Atoi(args[1])
			if err != nil {
				return usage("weight %q is not a number", args[1])
			}
			if problem := api.ValidateWeight(weight); problem != nil {
				return usageError{problem}
			}
			changed, err := s.PatchNode(s.command.Context(), id, api.NodePatch{Weight: &weight})
			if err != nil {
				return err
			}
			return s.printChanged(changed, theirDisks)
		}),
	}
}

// theirDisks is where state stays when slots of several nodes may have moved.
const theirDisks = "the disks of the nodes that held them"
