package main

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

func ringCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "ring",
		Short: "Show the ring, its history, where a key lives",
		Args:  cobra.NoArgs,
	}
	o := newOperator(command)
	command.RunE = o.with(showRing)
	command.AddCommand(
		&cobra.Command{Use: "show", Short: "Show the ring as it is", Args: cobra.NoArgs, RunE: o.with(showRing)},
		historyCommand(o),
		diffCommand(o),
		locateCommand(o),
		cancelCommand(o),
		planCommand(o),
		rollbackCommand(o),
		&cobra.Command{
			Use:   "rebalance",
			Short: "Even out the ring, nodes that wait with their state included",
			Args:  cobra.NoArgs,
			RunE:  o.with(rebalance),
		},
		watchCommand(o),
	)
	return command
}

func showRing(s *session, _ []string) error {
	view, err := s.Ring(s.command.Context())
	if err != nil {
		return err
	}
	if s.json {
		return writeJSON(s.stdout(), view.JSON())
	}
	counts, unassigned := primaries(view.Table)
	slots := view.Table.Bits.Slots()
	var facts table
	facts.add("cluster", view.Table.Cluster)
	facts.add("version", view.Table.Version)
	facts.add("digest", view.Table.Digest())
	facts.add("keys", strings.Join(view.Settings.Keys, ", "))
	facts.add("slots", fmt.Sprintf("%d, %s each, %d unassigned", slots, plural(view.Table.Replicas, "replica"), unassigned))
	if err := facts.write(s.stdout()); err != nil {
		return err
	}
	fmt.Fprintln(s.stdout())
	nodes := table{header: []string{"INDEX", "ID", "ADDRESS", "STATUS", "SLOTS", "SHARE"}}
	for index, node := range view.Table.Nodes {
		if node.ID != "" {
			nodes.add(index, node.ID, node.Address, node.Status, counts[index], percent(counts[index], slots))
		}
	}
	return nodes.write(s.stdout())
}

// primaries counts the slots each node is primary of, by index, and those nobody is.
func primaries(table *ring.Table) (counts []int, unassigned int) {
	counts = make([]int, len(table.Nodes))
	for slot := range table.Epochs {
		if index := table.Primary(ring.Slot(slot)); int(index) < len(counts) {
			counts[index]++
		} else {
			unassigned++
		}
	}
	return counts, unassigned
}

func locateCommand(o *operator) *cobra.Command {
	var isHex bool
	command := &cobra.Command{
		Use:   "locate KEY",
		Short: "Say where a key lives",
		Args:  cobra.ExactArgs(1),
		RunE: o.with(func(s *session, args []string) error {
			key := []byte(args[0])
			if isHex {
				decoded, err := hex.DecodeString(args[0])
				if err != nil {
					return usage("key %q is not hex", args[0])
				}
				key = decoded
			}
			return locate(s, key)
		}),
	}
	command.Flags().BoolVar(&isHex, "hex", false, "KEY is written as hex digits")
	return command
}

func locate(s *session, key []byte) error {
	location, err := s.Locate(s.command.Context(), key)
	if err != nil {
		return err
	}
	return s.print(location, func(t *table) {
		t.add("key", fmt.Sprintf("%q", key))
		t.add("hex", location.KeyHex)
		t.add("hash", location.Hash)
		t.add("slot", location.Slot)
		t.add("epoch", location.Epoch)
		t.add("ring", location.Version)
		role := "primary"
		for _, node := range location.Replicas {
			t.add(role, describe(node))
			role = "backup"
		}
		if len(location.Replicas) == 0 {
			t.add(role, "none: the slot is unassigned")
		}
	})
}

func describe(node api.LocationNode) string {
	return fmt.Sprintf("%s at %s, %s", node.ID, node.Address, node.Status)
}

func rebalance(s *session, _ []string) error {
	changed, err := s.Rebalance(s.command.Context())
	if err != nil {
		return err
	}
	return s.printChanged(changed, theirDisks)
}
