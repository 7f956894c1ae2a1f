package simulation

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/fsm"
	"github.com/stead-io/stead/controlplane/liveness"
	"github.com/stead-io/stead/controlplane/planner"
)

// As in package controlplane, but for replaceAfter, which is shorter than anybody sets it.
const (
	dutyEvery          = 50 * time.Millisecond
	evictAfterElection = 2 * api.TTLDefault
	reportGrace        = 5 * time.Second
	replaceAfter       = 8 * time.Second
	pollMax            = 45 * time.Second
	coalesce           = 20 * time.Millisecond
)

var policy = planner.Policy{Delay: 200 * time.Millisecond, EvictShare: 0.5, EvictWindow: time.Minute}

// seat is a member of the control plane, with what it knows only while it leads. But for host it is guarded by
// the council's mutex.
type seat struct {
	council *council
	host    host
	applied int // entries

	tracker    *liveness.Tracker
	elected    time.Time
	generation uint64
	seen       map[api.ChangeID]time.Time
	skew       time.Duration // of its wall clock
	rate       float64       // of its other clock, which measures silence
}

// begin starts to lead, with a clock that is nobody else's.
func (s *seat) begin(random *rand.Rand) {
	now := time.Now()
	s.skew = time.Duration(random.Int64N(int64(20*time.Minute))) - 10*time.Minute
	s.rate = 0.7 + 0.6*random.Float64()
	s.elected, s.seen = now, make(map[api.ChangeID]time.Time)
	s.tracker = liveness.NewTracker(now)
}

func (s *seat) state() *fsm.State { return s.council.states[s.applied] }

// clock is the wall clock: it may be wrong, and jump.
func (s *seat) clock() time.Time { return time.Now().Add(s.skew) }

// felt is what the clock that measures silence shows.
func (s *seat) felt() time.Time {
	return s.elected.Add(time.Duration(float64(time.Since(s.elected)) * s.rate))
}

// look does what is due, as controlplane.Member.doDuties does. A command at a time: the next look sees what
// became of it.
func (s *seat) look() {
	c := s.council
	c.mu.Lock()
	if c.leader != s || c.network.standsStill(s.host) {
		c.mu.Unlock()
		return
	}
	command := s.due()
	c.mu.Unlock()
	if command != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, _ = c.propose(ctx, s, "system", command)
	}
}

func (s *seat) due() fsm.Command {
	state, now := s.state(), s.felt()
	if state.Cluster == "" {
		return nil
	}
	if transitions := s.judge(state, now); len(transitions) > 0 {
		return fsm.Status{Transitions: transitions}
	}
	ledFor := now.Sub(s.elected)
	if ledFor >= evictAfterElection {
		if outs := planner.Outs(state, replaceAfter, s.clock(), 1); len(outs) > 0 {
			return outs[0]
		}
	}
	agenda := planner.Due(state, policy, s.firstSeen(state, now), now)
	if state.MayReport() && ledFor < reportGrace {
		return nil
	}
	if ledFor < evictAfterElection && slices.ContainsFunc(append(agenda.Settle, agenda.Hold...), func(id api.ChangeID) bool {
		change, problem := state.Change(id)
		return problem == nil && planner.GivesUp(change)
	}) {
		return nil
	}
	switch {
	case len(agenda.Hold) > 0:
		return fsm.Hold{Changes: agenda.Hold, Reason: "held: too many nodes vanished at once"}
	case len(agenda.Settle) > 0:
		want, _ := planner.Plan(state, agenda.Settle)
		return fsm.Want{Base: state.PlanBase(), Want: fsm.PackWant(want), Changes: agenda.Settle}
	default:
		return nil
	}
}

func (s *seat) judge(state *fsm.State, now time.Time) (transitions []fsm.Transition) {
	var subjects []liveness.Subject
	for _, node := range state.Nodes() {
		subjects = append(subjects, liveness.Subject{
			ID: node.Registration.ID, Session: node.Session, Status: node.Status, TTL: time.Duration(node.Registration.TTL),
		})
	}
	if s.generation != state.Generation {
		s.tracker.Restart(now)
		s.generation = state.Generation
	}
	for _, found := range s.tracker.Judge(subjects, now) {
		transitions = append(transitions, fsm.Transition{Node: found.ID, Session: found.Session, Status: found.Status, Left: found.Left, Reason: found.Reason})
	}
	return transitions
}

func (s *seat) firstSeen(state *fsm.State, now time.Time) map[api.ChangeID]time.Time {
	seen := make(map[api.ChangeID]time.Time)
	for _, change := range state.Pending() {
		seen[change.ID] = now
		if earlier, known := s.seen[change.ID]; known {
			seen[change.ID] = earlier
		}
	}
	s.seen = seen
	return seen
}

// What follows answers nodes, as controlplane/httpapi does.

func (s *seat) register(ctx context.Context, asked api.Registration) (api.Registered, error) {
	result, err := s.council.propose(ctx, s, "node "+string(asked.ID), fsm.Register{Registration: asked})
	if err != nil {
		return api.Registered{}, err
	}
	s.council.mu.Lock()
	defer s.council.mu.Unlock()
	if s.tracker != nil {
		s.tracker.Heard(asked.ID, s.felt(), nil)
	}
	return api.Registered{
		Session: result.Node.Session, Version: result.Version, Report: s.state().Recovers(), Cursor: cursorIn(result.Node.Session),
	}, nil
}

// cursorIn is where a session began, which its name says.
func cursorIn(session api.SessionID) api.SlotCursor {
	generation, index, _ := strings.Cut(string(session), "-")
	g, errG := strconv.ParseUint(generation, 10, 64)
	i, errI := strconv.ParseUint(index, 10, 64)
	if err := errors.Join(errG, errI); err != nil {
		panic(err)
	}
	return api.SlotCursor{Generation: g, Index: i}
}

func (s *seat) beat(id api.NodeID, beat api.Beat) error {
	c := s.council
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leader != s {
		return noLeader()
	}
	node := s.state().Node(id)
	switch {
	case node == nil:
		return api.NewProblem(api.CodeNodeUnknown, "no node %s is registered", id)
	case beat.Session != node.Session:
		return api.NewProblem(api.CodeUnknownSession, "node %s has registered anew since", id)
	case beat.Leaving:
		s.tracker.Left(id)
	default:
		s.tracker.Heard(id, s.felt(), nil)
	}
	return nil
}

func (s *seat) report(ctx context.Context, id api.NodeID, session api.SessionID, version api.Version, configs []api.SlotConfig) error {
	s.council.mu.Lock()
	report := s.state().ReportOfConfigs(id, session, version, configs)
	s.council.mu.Unlock()
	_, err := s.council.propose(ctx, s, "node "+string(id), report)
	return err
}

func (s *seat) cas(ctx context.Context, asked fsm.Cas) (api.SlotVerdicts, error) {
	result, err := s.council.propose(ctx, s, "node "+string(asked.Node), asked)
	if err != nil {
		return api.SlotVerdicts{}, err
	}
	s.council.mu.Lock()
	defer s.council.mu.Unlock()
	return api.SlotVerdicts{Version: result.Version, Cursor: cursorOf(s.state()), Verdicts: result.Verdicts}, nil
}

func cursorOf(state *fsm.State) api.SlotCursor {
	return api.SlotCursor{Generation: state.Generation, Index: state.Index}
}

// feed is the long-poll of slots: what this member has applied, if that is news.
func (s *seat) feed(ctx context.Context, after api.SlotCursor) (api.SlotFeed, error) {
	ctx, cancel := context.WithTimeout(ctx, pollMax)
	defer cancel()
	for {
		s.council.mu.Lock()
		state, changed := s.state(), s.council.changed
		s.council.mu.Unlock()
		other := state.Generation != after.Generation
		if state.Cluster != "" && (other || state.SlotsIndex() > after.Index) {
			return api.SlotFeed{
				Cluster: state.Cluster, Version: state.Version(), Cursor: cursorOf(state), Full: other,
				Settings: state.Settings, Nodes: state.SlotNodes(), Slots: state.SlotsSince(after.Index, other),
			}, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return api.SlotFeed{}, ctx.Err()
		}
		pause(ctx, coalesce)
	}
}
