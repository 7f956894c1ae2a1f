//go:build chaos

package chaos

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

// nemesis does what the schedule says, one strike after another, and lets the cluster recover between them.
type nemesis struct {
	lab      *Lab
	observer *observer
	counts   *counts
	schedule *Schedule
}

// run strikes until the context ends, and in any case until every fault has come once. The error is that the
// cluster did not recover.
func (n *nemesis) run(ctx, whole context.Context) error {
	for {
		tally := n.counts.snapshot()
		if whole.Err() != nil || ctx.Err() != nil && tally.Strikes >= len(Faults) {
			return whole.Err()
		}
		strike := n.schedule.Next()
		n.lab.log.Printf("strike %d: %s", tally.Strikes+1, strike)
		if err := n.strike(whole, strike); err != nil {
			return fmt.Errorf("after %s: %w", strike, err)
		}
		n.counts.do(func(t *Tally) { t.Strikes++; t.Faults[strike.Fault]++ })
		if err := n.recover(whole); err != nil {
			return fmt.Errorf("after %s: %w", strike, err)
		}
	}
}

// recover waits until every in-sync set is full, if another fault could otherwise take the last copy.
func (n *nemesis) recover(ctx context.Context) error {
	if n.lab.config.Replicas > 2 {
		return nil
	}
	return n.observer.awaitSteady(ctx, n.observer.lacking)
}

func (n *nemesis) strike(ctx context.Context, s Strike) error {
	switch s.Fault {
	case Kill:
		return n.kill(ctx, s)
	case Pause:
		return n.pause(ctx, s)
	case CutPair:
		return n.cut(ctx, s, []direction{{s.Victim, s.Other}, {s.Other, s.Victim}})
	case CutOneWay:
		return n.cut(ctx, s, []direction{{s.Victim, s.Other}})
	case CutControl:
		return n.cut(ctx, s, both(s.Victim, n.lab.fleet.Members))
	case Isolate:
		return n.cut(ctx, s, both(s.Victim, n.lab.fleet.All()))
	case TransferLeader:
		return n.transferLeader(ctx)
	case RollingRestart:
		return n.rollingRestart(ctx)
	case Partition:
		return n.cut(ctx, s, n.side(s.Victim, s.Other))
	case CutAndKill:
		return n.cutAndKill(ctx, s)
	case DiskFull:
		return n.fill(ctx, s)
	default:
		return fmt.Errorf("cannot do %q", s.Fault)
	}
}

func (n *nemesis) kill(ctx context.Context, s Strike) error {
	process := n.lab.processes[s.Victim]
	process.Kill()
	last(ctx, s.Length)
	process.Start()
	return n.lab.awaitReady(ctx, s.Victim)
}

func (n *nemesis) pause(ctx context.Context, s Strike) error {
	process := n.lab.processes[s.Victim]
	process.Signal(syscall.SIGSTOP)
	last(ctx, s.Length)
	process.Signal(syscall.SIGCONT)
	return n.lab.awaitReady(ctx, s.Victim)
}

func (n *nemesis) cut(ctx context.Context, s Strike, ways []direction) error {
	return n.cutUntil(ways, func() { last(ctx, s.Length) })
}

// cutUntil cuts while something else is done.
func (n *nemesis) cutUntil(ways []direction, meanwhile func()) error {
	n.counts.cut(+1)
	defer n.counts.cut(-1)
	if err := n.lab.network.Cut(ways); err != nil {
		return err
	}
	meanwhile()
	return n.lab.network.Heal(ways)
}

// side are the ways between two processes on one side and all others on the other.
func (n *nemesis) side(one, two string) (ways []direction) {
	for _, way := range append(both(one, n.lab.fleet.All()), both(two, n.lab.fleet.All())...) {
		if (way != direction{one, two} && way != direction{two, one}) {
			ways = append(ways, way)
		}
	}
	return ways
}

// cutAndKill kills a node that could not reach another for a moment: what it acknowledged then without the other
// would be gone.
func (n *nemesis) cutAndKill(ctx context.Context, s Strike) error {
	process := n.lab.processes[s.Victim]
	ways := []direction{{s.Victim, s.Other}, {s.Other, s.Victim}}
	if err := n.cutUntil(ways, func() { last(ctx, s.Length); process.Kill() }); err != nil {
		return err
	}
	last(ctx, lengthMin)
	process.Start()
	return n.lab.awaitReady(ctx, s.Victim)
}

// transferLeader asks until it is done: there may be no leader at the moment.
func (n *nemesis) transferLeader(ctx context.Context) error {
	return await(ctx, "the leader to hand over", func(ctx context.Context) bool {
		within, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		return n.lab.client.TransferLeader(within, "") == nil
	})
}

// rollingRestart restarts every process as an operator does: the next once the last serves, and once every
// in-sync set is full.
func (n *nemesis) rollingRestart(ctx context.Context) error {
	for _, name := range n.lab.fleet.All() {
		process := n.lab.processes[name]
		if !process.Stop() {
			return fmt.Errorf("%w: %s did not stop on SIGTERM", ErrNotHealed, name)
		}
		process.Start()
		if err := n.lab.awaitReady(ctx, name); err != nil {
			return err
		}
		if err := n.observer.awaitSteady(ctx, n.observer.lacking); err != nil {
			return err
		}
	}
	return nil
}

func (n *nemesis) fill(ctx context.Context, s Strike) error {
	leaves := uint64(0)
	if s.Low {
		leaves = lowLeaves
	}
	if err := n.lab.disk.Fill(leaves); err != nil {
		return err
	}
	last(ctx, s.Length)
	if err := n.lab.disk.Free(); err != nil {
		return err
	}
	return n.lab.awaitReady(ctx, s.Victim)
}

// last lets a fault last; nothing is waited for.
func last(ctx context.Context, length time.Duration) {
	select {
	case <-time.After(length):
	case <-ctx.Done():
	}
}
