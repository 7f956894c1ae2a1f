package controlplane

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/consensus"
	"github.com/stead-io/stead/controlplane/fsm"
	"github.com/stead-io/stead/controlplane/liveness"
	"github.com/stead-io/stead/controlplane/planner"
)

const (
	dutyEvery   = 50 * time.Millisecond
	ascendRetry = 50 * time.Millisecond
	// restPerNode, times the nodes and at most dutyEvery, is how long the leader rests between two looks
	// at its duties. A look costs about a microsecond a node: while thousands register, each an entry of
	// the log, looking at every entry would take all the leader's time.
	restPerNode = 5 * time.Microsecond
	forgetEvery = time.Minute
	// stallMax is how long the leader may go without looking before it distrusts what it did not hear.
	stallMax = time.Second
	// evictAfterElection is how long a new leader waits before it gives a dead node's slots away: those
	// that live have then had twice the time that they need to say so.
	evictAfterElection = 2 * api.TTLDefault
	// reportGrace is how long after a restore no plan is made while nodes that live have yet to report.
	reportGrace = 5 * time.Second
)

// bySystem is the origin of what nobody asked for.
var bySystem = fsm.By("system")

// duties are what only the leader does, and what it knows that no other member does.
type duties struct {
	mu      sync.Mutex
	tracker *liveness.Tracker // nil while this member does not lead
	fleet   *liveness.Fleet
	elected time.Time
	// generation of the state that what is known here belongs to.
	generation uint64
	seen       map[api.ChangeID]time.Time // pending changes, since when this leader knows them
	// wake, of one place, has the leader look at its duties now.
	wake chan struct{}
}

// reignWheneverElected does the leader's duties from each election to the loss of leadership.
func (m *Member) reignWheneverElected(ctx context.Context, replica *consensus.Replica) {
	var reign sync.WaitGroup
	abdicate := context.CancelFunc(func() {})
	for {
		select {
		case <-ctx.Done():
			abdicate()
			reign.Wait()
			return
		case leads := <-replica.Leadership():
			abdicate()
			reign.Wait()
			if leads {
				var reigning context.Context
				reigning, abdicate = context.WithCancel(ctx)
				reign.Go(func() { m.reign(reigning, replica) })
			}
		}
	}
}

func (m *Member) reign(ctx context.Context, replica *consensus.Replica) {
	for err := m.ascend(ctx, replica); err != nil; err = m.ascend(ctx, replica) {
		m.logger.Info("cannot take up the leader's duties yet", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(ascendRetry):
		}
	}
	m.logger.Info("leading", "term", replica.Term(), "version", m.State().Version())
	var stewarding sync.WaitGroup
	stewarding.Go(func() { newSteward(m, replica).run(ctx) })
	defer stewarding.Wait()
	probes := newProbes(m.config.Security, m.probed)
	term := replica.Term()
	defer m.startWebhooks(ctx)() // before anybody is answered as by the leader
	m.duties.begin(m.knownProxies(), time.Now())
	defer m.roster.wake()
	defer m.duties.end()
	defer probes.stop()
	tick := time.NewTicker(dutyEvery)
	defer tick.Stop()
	lastForget, lastLook := time.Now(), time.Now()
	for {
		changed := m.machine.changes()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-changed:
		case <-m.duties.wake:
		}
		now := time.Now()
		if now.Sub(lastLook) > stallMax {
			m.logger.Warn("this process stood still; the nodes' silence does not count", "for", now.Sub(lastLook))
			m.duties.beginAgain(now)
		}
		lastLook = now
		m.lastLed.Store(now.UnixNano())
		m.publishRoster(term, now)
		m.doDuties(ctx, now)
		nodes := m.State().Nodes()
		probes.follow(ctx, nodes)
		if now.Sub(lastForget) > forgetEvery {
			m.duties.forget(m.State(), now)
			lastForget = now
		}
		rest(ctx, min(dutyEvery, time.Duration(len(nodes))*restPerNode))
	}
}

func rest(ctx context.Context, pause time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(pause):
	}
}

// ascend brings a new leader up to date: everything of earlier terms is applied, and the cluster exists.
func (m *Member) ascend(ctx context.Context, replica *consensus.Replica) error {
	if err := replica.Barrier(); err != nil {
		return err
	}
	if m.State().Cluster == "" {
		if _, err := m.Propose(ctx, bySystem, m.foundingCommand()); err != nil {
			return err
		}
		m.logger.Info("cluster founded", "cluster", m.State().Cluster)
	}
	return nil
}

func (m *Member) foundingCommand() fsm.Bootstrap {
	settings := m.config.Settings
	settings.HashKey = randomHex()
	return fsm.Bootstrap{Cluster: api.ClusterID(randomHex()), Settings: settings, Level: m.commonLevel()}
}

// commonLevel is the highest level that every member supports.
func (m *Member) commonLevel() int {
	level := fsm.LevelSupported
	for _, member := range m.Members() {
		level = min(level, member.Level)
	}
	return level
}

func randomHex() string {
	var octets [16]byte
	_, _ = rand.Read(octets[:]) // never fails
	return hex.EncodeToString(octets[:])
}

// doDuties proposes what is due: transitions first, for plans depend on them.
func (m *Member) doDuties(ctx context.Context, now time.Time) {
	if transitions := m.duties.judge(m.State(), now); len(transitions) > 0 {
		m.proposeDuty(ctx, fsm.Status{Transitions: transitions})
	}
	m.giveOut(ctx, now)
	state := m.State()
	agenda := planner.Due(state, m.policy(), m.duties.firstSeen(state, now), now)
	if state.MayReport() && m.duties.ledFor(now) < reportGrace {
		return // who holds what is not known yet
	}
	if m.duties.ledFor(now) < evictAfterElection && anyExpired(state, append(agenda.Settle, agenda.Hold...)) {
		return // too early to hold anyone for dead
	}
	if len(agenda.Hold) > 0 {
		m.logger.Warn("too many nodes vanished at once; their slots are held", "changes", span(agenda.Hold))
		m.proposeDuty(ctx, fsm.Hold{Changes: agenda.Hold, Reason: "held: too many nodes vanished at once"})
		return // plan from the state that knows
	}
	if len(agenda.Settle) > 0 {
		want, moved := planner.Plan(state, agenda.Settle)
		m.logger.Info("ring planned", "changes", span(agenda.Settle), "moved", moved)
		m.proposeDuty(ctx, fsm.Want{Base: state.PlanBase(), Want: fsm.PackWant(want), Changes: agenda.Settle})
	}
}

// outsPerLook bounds how many nodes are given up in one look at the duties: each is an entry of the log.
const outsPerLook = 16

// giveOut has others take over the places of nodes that are down for long. A new leader first gives them the
// time to say that they are not.
func (m *Member) giveOut(ctx context.Context, now time.Time) {
	if m.duties.ledFor(now) < evictAfterElection {
		return
	}
	for _, out := range planner.Outs(m.State(), m.config.ReplaceAfter, now, outsPerLook) {
		m.proposeDuty(ctx, out)
	}
}

// span writes changes for the log, however many they are.
func span(ids []api.ChangeID) string {
	const listed = 8
	if len(ids) <= listed {
		return fmt.Sprint(ids)
	}
	return fmt.Sprintf("%d of %d to %d", len(ids), slices.Min(ids), slices.Max(ids))
}

func anyExpired(state *fsm.State, ids []api.ChangeID) bool {
	for _, id := range ids {
		if change, problem := state.Change(id); problem == nil && planner.GivesUp(change) {
			return true
		}
	}
	return false
}

func (m *Member) policy() planner.Policy {
	return planner.Policy{Delay: m.config.PlanDelay, EvictShare: m.config.EvictShare, EvictWindow: m.config.EvictWindow}
}

// proposeDuty proposes and leaves a failure to the next round, which sees what became of it.
func (m *Member) proposeDuty(ctx context.Context, command fsm.Command) {
	if _, err := m.Propose(ctx, bySystem, command); err != nil {
		var problem *api.Problem
		if !errors.As(err, &problem) || !problem.Retryable() {
			m.logger.Warn("a duty was refused", "command", fmt.Sprintf("%T", command), "error", err)
		}
	}
}

// begin starts with the proxies that the leader before knew.
func (d *duties) begin(proxies []api.RosterItem, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tracker, d.fleet, d.elected = liveness.NewTracker(now), liveness.NewFleet(), now
	d.fleet.Inherit(proxies, now)
	d.seen = make(map[api.ChangeID]time.Time)
}

// beginAgain lets silence count from now on, as after an election.
func (d *duties) beginAgain(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tracker.Restart(now)
	d.fleet.Restart(now)
	d.elected = now
}

// firstSeen is when this leader first saw each pending change. Clocks of different leaders differ; what
// a plan waits for is counted by one.
func (d *duties) firstSeen(state *fsm.State, now time.Time) map[api.ChangeID]time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	seen := make(map[api.ChangeID]time.Time)
	for _, change := range state.Pending() {
		seen[change.ID] = now
		if earlier, known := d.seen[change.ID]; known {
			seen[change.ID] = earlier
		}
	}
	d.seen = seen
	return seen
}

func (d *duties) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tracker, d.fleet = nil, nil
}

// lookNow wakes the leader from its pause.
func (d *duties) lookNow() {
	select {
	case d.wake <- struct{}{}:
	default: // it is being woken already
	}
}

func (d *duties) begun() bool {
	return d.with(func(*liveness.Tracker, *liveness.Fleet) {})
}

func (d *duties) ledFor(now time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return now.Sub(d.elected)
}

func (d *duties) forget(state *fsm.State, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tracker.Forget(func(id api.NodeID) bool { return state.Node(id) != nil })
	d.fleet.Forget(now)
}

func (d *duties) judge(state *fsm.State, now time.Time) []fsm.Transition {
	nodes := state.Nodes()
	subjects := make([]liveness.Subject, len(nodes))
	for i, node := range nodes {
		subjects[i] = liveness.Subject{
			ID: node.Registration.ID, Session: node.Session, Status: node.Status,
			TTL: time.Duration(node.Registration.TTL), Static: node.Static(),
		}
		if check := node.Registration.Check; check != nil {
			subjects[i].Failures = check.Failures
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.generation != state.Generation { // it was restored: everybody has to be heard of anew
		d.tracker.Restart(now)
		d.elected, d.generation = now, state.Generation
	}
	var transitions []fsm.Transition
	for _, found := range d.tracker.Judge(subjects, now) {
		transitions = append(transitions, fsm.Transition{Node: found.ID, Session: found.Session, Status: found.Status, Left: found.Left, Reason: found.Reason})
	}
	return transitions
}

// with runs f on what the leader knows; false: this member does not lead.
func (d *duties) with(f func(*liveness.Tracker, *liveness.Fleet)) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tracker == nil {
		return false
	}
	f(d.tracker, d.fleet)
	return true
}
