package fsm

import (
	"fmt"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// How much history is kept. Beyond it, answers are 410 and name the oldest that is left.
const (
	changesKept      = 1000
	changesKeptMost  = 100_000 // with those that the planner has yet to answer
	historyBytesKept = 32 << 20
	versionOverhead  = 256 // bytes a version costs beside its entries
)

// Change is a change as the state records it.
type Change struct {
	ID          api.ChangeID
	Kind        string
	Node        api.NodeID
	Actor       string
	Time        int64
	Finished    int64 // 0 while it is not
	First, Last api.Version
	Status      api.ChangeStatus
	Progress    api.Progress
	Lossy       bool
	LeavesState int
	Detail      string
	Words       string `json:",omitempty"` // what it was, where kind and node do not say it
	Updated     uint64 `json:",omitempty"` // log index of the last thing that happened to it
	// With is the later change that it was planned together with: it is done when that is.
	With api.ChangeID `json:",omitempty"`
	want wantTable    // set once it is planned
}

// cause says in words what the change was.
func (c *Change) cause() string {
	if c.Words != "" {
		return c.Words
	}
	if c.Node == "" {
		return c.Kind
	}
	return c.Kind + " " + string(c.Node)
}

// Show writes the change for the API, without its want.
func (c *Change) Show() api.Change {
	shown := api.Change{
		ID: c.ID, Kind: c.Kind, Node: c.Node, Cause: c.cause(), Actor: c.Actor,
		Time: time.UnixMilli(c.Time).UTC(), First: c.First, Last: c.Last,
		Status: c.Status, Progress: c.Progress, Lossy: c.Lossy, LeavesState: c.LeavesState, Detail: c.Detail,
		Updated: c.Updated,
	}
	if c.Finished != 0 {
		finished := time.UnixMilli(c.Finished).UTC()
		shown.Finished = &finished
	}
	return shown
}

// Planned reports whether the change led to a want.
func (c *Change) Planned() bool { return c.want.replicas > 0 }

// Want spells out the wanted replicas that the change led to, nil before it was planned.
func (c *Change) Want() [][]api.NodeID { return c.want.ids() }

// versionRecord remembers how to step back from a version to the one before it.
type versionRecord struct {
	Number   uint64
	Time     int64
	Change   api.ChangeID
	Cause    string
	Before   ring.Delta    // entries as they were
	Settings *api.Settings // as they were, if they changed
}

// Show writes the version for the API.
func (r *versionRecord) show(generation uint64) api.RingVersion {
	return api.RingVersion{
		Version: api.Version{Generation: generation, Number: r.Number},
		Time:    time.UnixMilli(r.Time).UTC(),
		Change:  r.Change, Cause: r.Cause,
		Slots: len(r.Before.Slots), Nodes: len(r.Before.Nodes),
	}
}

// Changes lists up to limit changes older than before (0: from the newest), newest first.
func (s *State) Changes(before api.ChangeID, limit int) (list []*Change, more bool) {
	for i := len(s.changes) - 1; i >= 0; i-- {
		if before != 0 && s.changes[i].ID >= before {
			continue
		}
		if len(list) == limit {
			return list, true
		}
		list = append(list, s.changes[i])
	}
	return list, false
}

// OldestChange is the id of the oldest change kept, 0 if there is none.
func (s *State) OldestChange() api.ChangeID {
	if len(s.changes) == 0 {
		return 0
	}
	return s.changes[0].ID
}

// Change finds one change; the problem says whether it is gone or never was.
func (s *State) Change(id api.ChangeID) (*Change, *api.Problem) {
	switch oldest := s.OldestChange(); {
	case id == 0 || id > s.lastID:
		return nil, api.NewProblem(api.CodeChangeUnknown, "there is no change %d; the newest is %d", id, s.lastID)
	case id < oldest:
		problem := api.NewProblem(api.CodeChangeGone, "change %d is no longer kept; the oldest is %d", id, oldest)
		problem.Oldest = fmt.Sprint(oldest)
		return nil, problem
	default:
		return s.changes[id-oldest], nil
	}
}

// Pending lists the changes that wait for the planner.
func (s *State) Pending() []*Change {
	if len(s.pending) == 0 {
		return nil
	}
	waiting := make([]*Change, 0, len(s.pending))
	for _, id := range s.pending {
		if oldest := s.OldestChange(); id >= oldest {
			waiting = append(waiting, s.changes[id-oldest])
		}
	}
	return waiting
}

// trimChanges forgets the oldest changes. From level 2 on none is forgotten that the planner has yet to
// answer: thousands of nodes that vanish at once must not push each other out of the governor's sight.
func (s *State) trimChanges() {
	over := len(s.changes) - changesKept
	if s.Level >= 2 && len(s.pending) > 0 {
		over = max(min(over, int(s.pending[0]-min(s.pending[0], s.OldestChange()))), len(s.changes)-changesKeptMost)
	}
	for ; over > 0; over-- {
		s.forgotten = max(s.forgotten, s.changes[0].Updated)
		s.changes = s.changes[1:]
	}
}

// HeldChanges lists the changes the governor holds back.
func (s *State) HeldChanges() []*Change {
	var held []*Change
	for _, change := range s.changes {
		if change.Status == api.ChangeHeld {
			held = append(held, change)
		}
	}
	return held
}

// OldestVersion is the oldest version whose table can be rebuilt.
func (s *State) OldestVersion() api.Version {
	return api.Version{Generation: s.Generation, Number: s.Number - uint64(len(s.versions.items))}
}

// Versions lists up to limit versions older than before (0: from the newest), newest first.
func (s *State) Versions(before uint64, limit int) (list []api.RingVersion, more bool) {
	list = []api.RingVersion{}
	for i := len(s.versions.items) - 1; i >= 0; i-- {
		if before != 0 && s.versions.items[i].Number >= before {
			continue
		}
		if len(list) == limit {
			return list, true
		}
		list = append(list, s.versions.items[i].show(s.Generation))
	}
	return list, false
}

// Past is the ring as it was at an earlier version.
type Past struct {
	Table    *ring.Table
	Settings api.Settings
}

// At rebuilds the ring of a version by stepping back from the present one.
func (s *State) At(number uint64) (Past, *api.Problem) {
	if number > s.Number {
		return Past{}, api.NewProblem(api.CodeVersionUnknown, "there is no version %d; the newest is %d", number, s.Number)
	}
	if oldest := s.OldestVersion(); number < oldest.Number {
		problem := api.NewProblem(api.CodeVersionGone, "version %d is no longer kept; the oldest is %d", number, oldest.Number)
		problem.Oldest = oldest.String()
		return Past{}, problem
	}
	past := Past{Table: s.Table(), Settings: s.Settings}
	for i := len(s.versions.items) - 1; i >= 0 && s.versions.items[i].Number > number; i-- {
		past.stepBack(s.versions.items[i])
	}
	past.Table.Version.Number = number
	past.Table.Previous = number - min(1, number)
	return past, nil
}

func (p *Past) stepBack(record *versionRecord) {
	for _, entry := range record.Before.Nodes {
		p.Table.Nodes[entry.Index] = entry.Node
	}
	replicas := p.Table.Replicas
	for i, slot := range record.Before.Slots {
		p.Table.Epochs[slot] = record.Before.Epochs[i]
		copy(p.Table.ReplicasOf(slot), record.Before.Owners[i*replicas:(i+1)*replicas])
	}
	if record.Settings != nil {
		p.Settings = *record.Settings
	}
}

func (r *versionRecord) size() int { return versionOverhead + r.Before.Size() }
