package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// causesMax is of how many versions in one line the newest causes are said.
const causesMax = 4

func watchCommand(o *operator) *cobra.Command {
	var count int
	command := &cobra.Command{
		Use:   "watch",
		Short: "Print what changes the ring, as it happens",
		Long: `Print a line for the ring as it is and for every new version, until Ctrl-C: when, which version, what
changed it and who asked, how many slots moved, who holds how many. With -o json the first line is the
full ring, each further line the delta to it.`,
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
	why, moved := "now", "-"
	if previous != nil {
		why = s.causes(previous.Table.Version, view.Table.Version)
		moved = plural(ring.Diff(previous.Table, view.Table).Moved, "slot") + " moved"
	}
	_, err := fmt.Fprintf(s.stdout(), "%s  ring %s  %s  %s  %s\n",
		time.Now().UTC().Format("15:04:05.000"), view.Table.Version, why, moved, shares(view.Table))
	return err
}

// causes says what led from one version to another, and who asked for it: "drain n2 by ann@desk".
func (s *session) causes(from, to api.Version) string {
	if from.Generation != to.Generation || to.Number <= from.Number {
		return "restored"
	}
	span := int(min(to.Number-from.Number, causesMax))
	versions, err := s.Versions(s.command.Context(), to.Number+1, span)
	if err != nil {
		return "-" // the ring is worth showing without its history
	}
	var causes []string
	for _, version := range slices.Backward(versions.Versions) {
		cause := version.Cause
		if version.Change > 0 {
			cause = s.causeBy(cause, version.Change)
		}
		if !slices.Contains(causes, cause) {
			causes = append(causes, cause)
		}
	}
	return strings.Join(causes, ", ")
}

// causeBy adds who asked for a change, if the change is kept.
func (s *session) causeBy(cause string, id api.ChangeID) string {
	change, err := s.Change(s.command.Context(), id)
	if err != nil {
		return cause
	}
	return fmt.Sprintf("%s by %s", cause, change.Actor)
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
