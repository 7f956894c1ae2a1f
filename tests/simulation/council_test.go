package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/fsm"
)

const (
	seats     = 3
	catchUpIn = 20 * time.Millisecond // at most, until a follower has applied what is committed
	electIn   = 400 * time.Millisecond
)

// council is the control plane: one log, as Raft makes it out of several, that members have applied to
// different extents. Its state machine, planner and tracker are the product's; that a leader's entry is
// committed once it reaches a majority, and may or may not survive if it did not, is Raft's promise.
type council struct {
	network *network
	note    func(index uint64, entry []byte, state *fsm.State, result fsm.Result)
	fail    func(string, ...any)

	mu      sync.Mutex
	random  *rand.Rand
	states  []*fsm.State // after so many entries
	changed chan struct{}
	seats   []*seat
	leader  *seat // nil: there is none
	silent  time.Duration
	limbo   []*uncommitted
	elected int
}

// uncommitted is an entry that a leader without a majority keeps.
type uncommitted struct {
	entry   []byte
	decided chan struct{}
	applied bool
	result  fsm.Result
}

func newCouncil(network *network, random *rand.Rand) *council {
	c := &council{network: network, random: random, states: []*fsm.State{fsm.New()}, changed: make(chan struct{})}
	for i := range seats {
		c.seats = append(c.seats, &seat{council: c, host: host(fmt.Sprint("c", i+1)), rate: 1})
	}
	return c
}

// run elects, has followers catch up and does the leaders' duties, until ctx ends.
func (c *council) run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	for _, s := range c.seats {
		running.Go(func() { every(ctx, dutyEvery, s.look) })
		running.Go(func() {
			for ctx.Err() == nil {
				c.catchUp(s)
				pause(ctx, c.someTime(catchUpIn))
			}
		})
	}
	every(ctx, dutyEvery, c.elect)
}

func (c *council) someTime(atMost time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Duration(1 + c.random.Int64N(int64(atMost)))
}

func (c *council) catchUp(s *seat) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leader == nil || s.applied == len(c.states)-1 || s != c.leader && !c.network.reach(s.host, c.leader.host) {
		return
	}
	s.applied = len(c.states) - 1
	c.stir()
}

func (c *council) stir() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// majority reports whether a member reaches more than half of them.
func (c *council) majority(s *seat) bool {
	reached := 0
	for _, other := range c.seats {
		if other == s || c.network.reach(s.host, other.host) {
			reached++
		}
	}
	return reached > seats/2 && !c.network.standsStill(s.host)
}

func (n *network) standsStill(at host) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.frozen[at]
}

// elect replaces a leader that has had no majority for a while.
func (c *council) elect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leader != nil && c.majority(c.leader) {
		c.silent = 0
		return
	}
	if c.silent += dutyEvery; c.silent < electIn && c.elected > 0 {
		return
	}
	for _, i := range c.random.Perm(seats) {
		if s := c.seats[i]; s != c.leader && c.majority(s) {
			c.crown(s)
			return
		}
	}
}

// crown makes a member leader: some of what the one before had not committed is committed after all.
func (c *council) crown(s *seat) {
	kept := c.random.IntN(len(c.limbo) + 1)
	for i, u := range c.limbo {
		if i < kept {
			u.applied, u.result = true, c.append(u.entry)
		}
		close(u.decided)
	}
	c.limbo, c.silent = nil, 0
	c.leader = s
	c.elected++
	s.applied = len(c.states) - 1
	s.begin(c.random)
	c.stir()
}

// abdicate has another member lead.
func (c *council) abdicate() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leader, c.silent = nil, electIn/2
}

// append commits an entry: from here on it is in the log for ever.
func (c *council) append(entry []byte) fsm.Result {
	index := uint64(len(c.states))
	next, result, err := fsm.Apply(c.states[index-1], index, entry)
	if err != nil {
		c.fail("entry %d cannot be applied: %v", index, err)
		return fsm.Result{Problem: api.NewProblem(api.CodeInternal, "%v", err)}
	}
	c.states = append(c.states, next)
	if c.leader != nil {
		c.leader.applied = int(index)
	}
	c.note(index, entry, next, result)
	c.stir()
	return result
}

// newest is the state that everybody will come to.
func (c *council) newest() *fsm.State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.states[len(c.states)-1]
}

// asError keeps no problem from being an error.
func asError(problem *api.Problem) error {
	if problem == nil {
		return nil
	}
	return problem
}

func noLeader() *api.Problem { return api.NewProblem(api.CodeNoLeader, "this member does not lead") }

// propose has a member replicate a command, if it leads. An error that is no problem leaves open what became
// of it.
func (c *council) propose(ctx context.Context, s *seat, actor string, command fsm.Command) (fsm.Result, error) {
	pause(ctx, c.network.delay())
	c.mu.Lock()
	if c.leader != s {
		c.mu.Unlock()
		return fsm.Result{}, noLeader()
	}
	entry, err := fsm.Encode(fsm.At(s.clock(), fsm.By(actor)), command)
	if err != nil {
		c.mu.Unlock()
		return fsm.Result{}, err
	}
	if c.majority(s) {
		result := c.append(entry)
		c.mu.Unlock()
		return result, asError(result.Problem)
	}
	u := &uncommitted{entry: entry, decided: make(chan struct{})}
	c.limbo = append(c.limbo, u)
	c.mu.Unlock()
	select {
	case <-u.decided:
		return u.result, context.Canceled // leadership was lost: who proposed does not learn what became of it
	case <-ctx.Done():
		return fsm.Result{}, ctx.Err()
	}
}

// restore has the leader restore the state as it is now; false: it cannot.
func (c *council) restore() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.states[len(c.states)-1]
	if c.leader == nil || !c.majority(c.leader) || now.Recovers() {
		return false
	}
	command, err := fsm.RestoreOf(now, false)
	if err != nil {
		c.fail("a state cannot be restored: %v", err)
		return false
	}
	entry, err := fsm.Encode(fsm.At(c.leader.clock(), fsm.By("operator")), command)
	return err == nil && c.append(entry).Problem == nil
}

// every calls f so often, until ctx ends.
func every(ctx context.Context, interval time.Duration, f func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f()
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
