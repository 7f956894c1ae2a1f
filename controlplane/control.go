package controlplane

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/consensus"
	"github.com/stead-io/stead/controlplane/fsm"
	"github.com/stead-io/stead/controlplane/liveness"
	"github.com/stead-io/stead/controlplane/peers"
)

// touchWithin is how long ago a leader may have been heard of before this member counts as cut off.
const touchWithin = 2 * time.Second

// The methods below make Member the httpapi.Control of its own API.

// State is the replicated state as far as it is applied here.
func (m *Member) State() *fsm.State { return m.machine.state.Load() }

// Changed is closed when State is no longer what it is.
func (m *Member) Changed() <-chan struct{} { return m.machine.changes() }

// Propose replicates a command and returns its result, or the problem it was refused with.
func (m *Member) Propose(_ context.Context, origin fsm.Origin, command fsm.Command) (fsm.Result, error) {
	m.turn.RLock()
	defer m.turn.RUnlock()
	return m.replicate(origin, command)
}

func (m *Member) replicate(origin fsm.Origin, command fsm.Command) (fsm.Result, error) {
	replica := m.replica.Load()
	if replica == nil {
		return fsm.Result{}, noLeader()
	}
	level := m.State().Level
	if founding, first := command.(fsm.Bootstrap); first {
		level = max(level, founding.Level) // that it puts in force
	}
	if fsm.LevelOf(origin, command) > level {
		return fsm.Result{}, beyondLevel(level, origin, command)
	}
	entry, err := fsm.Encode(fsm.At(time.Now(), origin), command)
	if err != nil {
		return fsm.Result{}, err
	}
	answer, err := replica.Propose(entry)
	if err != nil {
		return fsm.Result{}, asProblem(err)
	}
	result, ok := answer.(fsm.Result)
	if !ok {
		return fsm.Result{}, errors.New("the state machine has stopped")
	}
	if result.Problem != nil {
		return fsm.Result{}, result.Problem
	}
	return result, nil
}

// beyondLevel refuses a command that not every member may know, and names the header at fault, if it is
// one: a client may do without its key.
func beyondLevel(level int, origin fsm.Origin, command fsm.Command) *api.Problem {
	needed := fsm.LevelOf(origin, command)
	problem := api.NewProblem(api.CodeUnsupported, "the cluster stands at level %d, this needs %d", level, needed).
		WithNext("once every member runs this version: stead cluster set level=%d", needed)
	switch {
	case fsm.LevelOf(fsm.Origin{}, command) > level:
		return problem
	case origin.Key != "":
		return problem.InField(api.HeaderIdempotencyKey)
	default:
		return problem.InField("If-Match")
	}
}

func noLeader() *api.Problem {
	return api.NewProblem(api.CodeNoLeader, "this member does not lead, and knows no leader now")
}

func asProblem(err error) error {
	switch {
	case errors.Is(err, consensus.ErrNotLeader), errors.Is(err, consensus.ErrClosed):
		return noLeader()
	case errors.Is(err, consensus.ErrAmbiguous):
		return api.NewProblem(api.CodeAmbiguous, "leadership was lost before the outcome was known")
	default:
		return err
	}
}

// Linearize waits until State holds all that was committed before the call.
func (m *Member) Linearize(ctx context.Context) error {
	replica := m.replica.Load()
	if replica == nil {
		return noLeader()
	}
	return asProblem(replica.Linearize(ctx, m.awaitIndex))
}

func (m *Member) awaitIndex(ctx context.Context, index uint64) error {
	replica := m.replica.Load()
	for {
		changed := m.Changed()
		if replica.AppliedIndex() >= index {
			return nil
		}
		select {
		case <-changed:
		case <-time.After(time.Millisecond): // entries that are Raft's own change no state
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ID is this member's id.
func (m *Member) ID() api.MemberID { return m.identity.ID() }

// Leader is the member believed to lead.
func (m *Member) Leader() api.MemberID {
	if replica := m.replica.Load(); replica != nil {
		return replica.Leader()
	}
	return ""
}

// LeaderURL is the leader's control API.
func (m *Member) LeaderURL() (string, bool) {
	leader := m.Leader()
	if leader == "" || leader == m.ID() {
		return "", false
	}
	info, known := m.directory.Info(leader)
	return info.API, known
}

// IsLeader reports whether this member leads and has taken up its duties: before that it may not have
// applied all that earlier leaders promised.
func (m *Member) IsLeader() bool {
	replica := m.replica.Load()
	return replica != nil && replica.IsLeader() && m.duties.begun()
}

// Term is the Raft term.
func (m *Member) Term() uint64 {
	if replica := m.replica.Load(); replica != nil {
		return replica.Term()
	}
	return 0
}

// InTouch reports whether this member led or heard from a leader lately.
func (m *Member) InTouch() bool {
	replica := m.replica.Load()
	if replica == nil {
		return false
	}
	now := time.Now()
	return replica.SinceContact(now) < touchWithin || now.Sub(time.Unix(0, m.lastLed.Load())) < touchWithin
}

// CaughtUp reports whether this member has applied what the leader had a round of exchange ago. One
// that hears from the leader and cannot write is in touch all the same.
func (m *Member) CaughtUp() bool {
	return m.State().Index >= m.directory.AppliedBefore(m.Leader())
}

// Beat notes that a node lives.
func (m *Member) Beat(id api.NodeID, beat api.Beat, now time.Time) *api.Problem {
	node := m.State().Node(id)
	if node == nil {
		return api.NewProblem(api.CodeNodeUnknown, "no node %s is registered", api.Clip(string(id))).WithNext("register it again")
	}
	if beat.Session != "" && beat.Session != node.Session {
		return api.NewProblem(api.CodeUnknownSession, "node %s has registered anew since", id).InField("session").WithNext("register again")
	}
	leads := m.duties.with(func(tracker *liveness.Tracker, _ *liveness.Fleet) {
		switch {
		case beat.Leaving:
			tracker.Left(id)
		case beat.Unhealthy == "":
			tracker.Heard(id, now, beat.Load)
		}
		if beat.Moves != nil {
			tracker.Moving(id, now, *beat.Moves)
		}
	})
	if !leads {
		return noLeader()
	}
	if beat.Leaving {
		m.duties.lookNow()
	}
	return nil
}

func (m *Member) probed(id api.NodeID, healthy bool) {
	m.duties.with(func(tracker *liveness.Tracker, _ *liveness.Fleet) { tracker.Probed(id, healthy, time.Now()) })
}

// LastHeard is how long ago the leader heard of a node.
func (m *Member) LastHeard(id api.NodeID, now time.Time) (ago time.Duration, load *api.Load, known bool) {
	m.duties.with(func(tracker *liveness.Tracker, _ *liveness.Fleet) { ago, load, known = tracker.LastHeard(id, now) })
	return ago, load, known
}

// MovesOf is what a node told the leader lately of its moves, nil if it did not.
func (m *Member) MovesOf(id api.NodeID, now time.Time) (said *api.Moves) {
	m.duties.with(func(tracker *liveness.Tracker, _ *liveness.Fleet) { said = tracker.MovesOf(id, now) })
	return said
}

// Pace is how far and how fast slots move by what nodes told the leader, bytes from since on.
func (m *Member) Pace(since, now time.Time) (pace liveness.Pace) {
	m.duties.with(func(tracker *liveness.Tracker, _ *liveness.Fleet) { pace = tracker.Pace(since, now) })
	return pace
}

// ProxyBeat notes that a proxy lives.
func (m *Member) ProxyBeat(id api.ProxyID, beat api.ProxyBeat, now time.Time) *api.Problem {
	var problem *api.Problem
	if !m.duties.with(func(_ *liveness.Tracker, fleet *liveness.Fleet) { problem = fleet.Heard(id, beat, now) }) {
		return noLeader()
	}
	if problem == nil && beat.Leaving {
		m.duties.lookNow()
	}
	return problem
}

// Proxies is the fleet as the leader sees it.
func (m *Member) Proxies(now time.Time) []api.Proxy {
	list := []api.Proxy{}
	m.duties.with(func(_ *liveness.Tracker, fleet *liveness.Fleet) { list = fleet.List(now, m.State().Version()) })
	return list
}

// storeQuiet is for how long a node must be silent before its store may go on at another address.
const storeQuiet = time.Second

// CheckNode refuses addresses outside the allow-list, and a copy of a store.
func (m *Member) CheckNode(registration api.Registration) *api.Problem {
	if problem := m.checkAddress(registration); problem != nil {
		return problem
	}
	return m.checkCopy(registration, time.Now())
}

// checkCopy refuses a store that comes from another address while the process that has it is heard of: that would be a
// copy of its folder, which lacks what was acknowledged since, and would be taken for the original. Whoever comes
// from the same address has its port, so the process before is gone.
func (m *Member) checkCopy(asked api.Registration, now time.Time) *api.Problem {
	node := m.State().Node(asked.ID)
	if node == nil || node.Session == "" || node.Status == api.NodeDown || asked.StoreID == "" {
		return nil
	}
	is := node.Registration
	if asked.StoreID != is.StoreID || asked.Nonce == is.Nonce || asked.Address == is.Address || asked.Boot <= is.Boot {
		return nil
	}
	quiet := true
	m.duties.with(func(tracker *liveness.Tracker, _ *liveness.Fleet) { quiet = tracker.Quiet(asked.ID, storeQuiet, now) })
	if quiet {
		return nil
	}
	return api.NewProblem(api.CodeNodeAlive, "node %s was heard of a moment ago, at %s, with this very store", is.ID, is.Address).InField("id").
		WithNext("stop it first; if it is to stay, this is a copy of its data folder: start with an empty one, under another id")
}

// checkAddress refuses addresses outside the allow-list. A name could lead anywhere, so where there is a list only IP
// addresses are taken.
func (m *Member) checkAddress(registration api.Registration) *api.Problem {
	if len(m.config.NodeCIDRs) == 0 {
		return nil
	}
	host, _, err := net.SplitHostPort(api.HostPort(registration.Address))
	address, parseErr := netip.ParseAddr(host)
	if err != nil || parseErr != nil {
		return api.NewProblem(api.CodeAddressRefused, "this cluster takes IP addresses from its allow-list only").InField("address")
	}
	for _, network := range m.config.NodeCIDRs {
		if network.Contains(address.Unmap()) {
			return nil
		}
	}
	return api.NewProblem(api.CodeAddressRefused, "%s is in none of the networks that nodes may register from", address).InField("address")
}

// Members lists the control plane as this member sees it.
func (m *Member) Members() []api.Member {
	list := []api.Member{}
	replica := m.replica.Load()
	if replica == nil {
		return list
	}
	servers, err := replica.Servers()
	if err != nil {
		return list
	}
	leader, now := replica.Leader(), time.Now()
	for _, server := range servers {
		info, _ := m.directory.Info(server.ID)
		applied := info.Applied
		if server.ID == m.ID() {
			applied = m.State().Index
		}
		list = append(list, api.Member{
			ID: server.ID, Name: peers.NameOf(server.ID), API: info.API, Raft: info.Raft, Voter: server.Voter,
			Leader: server.ID == leader, Alive: m.directory.Alive(server.ID, now),
			Applied: applied, Level: info.Level,
		})
	}
	return list
}

// Transfer hands leadership to a member, by name or id; "" lets Raft choose.
func (m *Member) Transfer(to string) error {
	var target api.MemberID
	voter := false
	for _, member := range m.Members() {
		if to != "" && (string(member.ID) == to || member.Name == to) {
			target, voter = member.ID, member.Voter
		}
	}
	switch {
	case to != "" && target != "" && !voter:
		return api.NewProblem(api.CodeInvalid, "member %s has no vote yet", api.Clip(to)).InField("to")
	case to != "" && target == "":
		return api.NewProblem(api.CodeInvalid, "there is no member %q", api.Clip(to)).InField("to")
	case target == m.ID():
		return nil
	}
	replica := m.replica.Load()
	if replica == nil {
		return noLeader()
	}
	if err := replica.TransferLeadership(target); err != nil {
		if errors.Is(err, consensus.ErrNotLeader) {
			return noLeader()
		}
		return api.NewProblem(api.CodeConflict, "%v", err)
	}
	return nil
}

// ExchangePeers merges what another member tells and answers with what is known here.
func (m *Member) ExchangePeers(message api.Peers, now time.Time) (api.Peers, error) {
	err := m.directory.Merge(message, now)
	if errors.Is(err, peers.ErrRecovered) {
		m.fail(err)
	}
	switch {
	case errors.Is(err, peers.ErrElsewhere), errors.Is(err, peers.ErrRecovered):
		return api.Peers{}, api.NewProblem(api.CodeConflict, "%v", err)
	case errors.Is(err, peers.ErrOtherCluster):
		return api.Peers{}, api.NewProblem(api.CodeWrongCluster, "%v", err)
	}
	if err != nil {
		return api.Peers{}, api.NewProblem(api.CodeInvalid, "%v", err)
	}
	return m.directory.Message(), nil
}
