package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/api"
)

// drainLook is how often a drain that waits asks for its pace, and whether it still is one.
const drainLook = time.Second

func drainCommand(o *operator) *cobra.Command {
	var noWait bool
	command := &cobra.Command{
		Use:   "drain ID",
		Short: "Take a node's slots away while it runs",
		Long: `Take a node's slots away while it runs, and wait until it holds nothing: then it can be stopped. Ctrl-C
ends the waiting, not the drain; the same command waits again.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: o.completeNode,
		RunE: o.with(func(s *session, args []string) error {
			id := api.NodeID(args[0])
			if err := id.Validate(); err != nil {
				return usageError{err}
			}
			changed, err := s.Drain(s.command.Context(), id)
			if err != nil {
				return err
			}
			if err := s.printChanged(changed, diskOf(id)); err != nil || noWait {
				return err
			}
			return s.awaitDrained(id, changed.Change)
		}),
	}
	command.Flags().BoolVar(&noWait, "no-wait", false, "do not wait until the node holds nothing")
	return command
}

// awaitDrained shows how far a drain is until the node holds nothing.
func (s *session) awaitDrained(id api.NodeID, change api.ChangeID) error {
	if _, err := s.Slot(s.command.Context(), 0); api.CodeOf(err) == api.CodeNotFound {
		s.say("this control plane does not tell of slots; not waiting")
		return nil
	}
	ctx, stop := context.WithCancel(s.command.Context())
	d := &drain{session: s, node: id, change: change, line: newProgressLine(s.command.ErrOrStderr())}
	feeds := make(chan api.SlotFeed)
	var watching sync.WaitGroup
	watching.Go(func() {
		_ = s.WatchSlots(ctx, func(feed api.SlotFeed) {
			select {
			case feeds <- feed:
			case <-ctx.Done():
			}
		})
	})
	err := d.follow(ctx, feeds)
	stop()
	watching.Wait()
	d.line.end()
	switch {
	case err != nil:
		return err
	case s.command.Context().Err() != nil:
		return advisedError{
			fmt.Errorf("no longer waiting; the drain of %s goes on", id),
			fmt.Sprintf("wait again: stead nodes drain %s; end it: stead nodes undrain %s", id, id),
		}
	}
	s.say("%s holds nothing", id)
	return nil
}

// drain is one that is waited for.
type drain struct {
	*session
	node   api.NodeID
	change api.ChangeID
	line   *progressLine

	held  map[api.Slot]bool // slots that the node holds
	total int               // most that it held since
	pace  api.Progress
}

// follow takes feeds until the node holds nothing, it is drained no longer, or the context ends.
func (d *drain) follow(ctx context.Context, feeds <-chan api.SlotFeed) error {
	look := time.NewTicker(drainLook)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case feed := <-feeds:
			d.take(feed)
			if len(d.held) == 0 {
				return nil
			}
		case <-look.C:
			if err := d.look(ctx); err != nil {
				return err
			}
		}
		d.line.show(d.total-len(d.held), d.total, d.describe())
	}
}

func (d *drain) take(feed api.SlotFeed) {
	if feed.Full {
		d.held = make(map[api.Slot]bool)
	}
	for _, config := range feed.Slots {
		delete(d.held, config.Slot)
		if config.Holds(d.node) {
			d.held[config.Slot] = true
		}
	}
	d.total = max(d.total, len(d.held))
}

// look asks how fast it goes. A control plane that does not answer now may answer later.
func (d *drain) look(ctx context.Context) error {
	node, err := d.Node(ctx, d.node)
	switch {
	case api.CodeOf(err) == api.CodeNodeUnknown:
		return fmt.Errorf("%s was removed meanwhile", d.node)
	case err == nil && !node.Draining:
		return fmt.Errorf("%s is drained no longer, and holds %s", d.node, plural(len(d.held), "slot"))
	}
	if change, err := d.Change(ctx, d.change); err == nil && d.change != 0 {
		d.pace = change.Progress
	}
	return nil
}

// describe says what is known beyond the count of slots.
func (d *drain) describe() string {
	text := ""
	if d.pace.Rate > 0 {
		text += fmt.Sprintf("  %s/s", octets(d.pace.Rate))
	}
	if d.pace.BytesLeft > 0 {
		text += fmt.Sprintf("  %s left", octets(d.pace.BytesLeft))
	}
	if d.pace.End != nil {
		text += fmt.Sprintf("  about %v", max(0, time.Until(*d.pace.End)).Round(time.Second))
	}
	if len(d.pace.Blocked) > 0 {
		first := d.pace.Blocked[0]
		text += fmt.Sprintf("  blocked: slot %d to %s: %s", first.Slot, first.To, first.Reason)
	}
	return text
}

// octets writes a number of bytes for people.
func octets(count uint64) string {
	const step = 1000
	if count < step {
		return fmt.Sprintf("%d B", count)
	}
	value, unit := float64(count), 0
	for value >= step && unit < len("kMGTPE") {
		value, unit = value/step, unit+1
	}
	return fmt.Sprintf("%.1f %cB", value, "kMGTPE"[unit-1])
}
