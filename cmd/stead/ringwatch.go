package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/api/ring"
)

func watchCommand(o *operator) *cobra.Command {
	var count int
	command := &cobra.Command{
		Use:   "watch",
		Short: "Print a line for every new version of the ring",
		Long: `Print a line for the ring as it is and for every new version, until Ctrl-C. With -o json the first
line is the full ring, each further line the delta to it.`,
		Args: cobra.NoArgs,
		RunE: o.with(func(s *session, _ []string) error { return watch(s, count) }),
	}
	command.Flags().IntVar(&count, "count", 0, "end after so many versions; 0 for never")
	return command
}

// watch ends well when it is interrupted: that is how it is meant to end.
func watch(s *session, count int) error {
	first, err := s.Ring(s.command.Context())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(s.command.Context())
	defer cancel()
	var previous *ring.View
	var failed error
	seen := 0
	show := func(view *ring.View) {
		failed = s.printVersion(previous, view)
		previous = view
		if seen++; failed != nil || seen == count {
			cancel()
		}
	}
	show(first)
	_ = s.Watch(ctx, first, show)
	return failed
}

func (s *session) printVersion(previous, view *ring.View) error {
	switch {
	case s.json && previous == nil:
		return writeJSON(s.stdout(), view.JSON())
	case s.json:
		settings := &view.Settings
		if view.Settings.Equal(previous.Settings) {
			settings = nil
		}
		return writeJSON(s.stdout(), ring.Between(previous.Table, view.Table).Wire(settings))
	}
	moved := "-"
	if previous != nil {
		moved = plural(ring.Diff(previous.Table, view.Table).Moved, "slot") + " moved"
	}
	_, err := fmt.Fprintf(s.stdout(), "%s  ring %s  %s  %s\n",
		time.Now().UTC().Format("15:04:05.000"), view.Table.Version, moved, shares(view.Table))
	return err
}

// shares lists each node with its slots, and its status where that is not up.
func shares(table *ring.Table) string {
	counts, unassigned := primaries(table)
	var parts []string
	for index, node := range table.Nodes {
		if node.ID == "" {
			continue
		}
		part := fmt.Sprintf("%s:%d", node.ID, counts[index])
		if node.Status != ring.StatusUp {
			part += "(" + node.Status.String() + ")"
		}
		parts = append(parts, part)
	}
	if unassigned > 0 {
		parts = append(parts, fmt.Sprintf("unassigned:%d", unassigned))
	}
	return strings.Join(parts, " ")
}
