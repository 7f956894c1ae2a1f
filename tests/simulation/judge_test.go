package simulation

import (
	"fmt"
	"slices"
	"sync"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/controlplane/fsm"
	"github.com/stead-io/stead/nodesvc/replication/slotlog"
)

// judge asserts the invariants of package ownership from what can be observed. The numbers are those there.
type judge struct {
	transcript *transcript

	mu      sync.Mutex
	faults  []string
	configs map[api.Slot]map[api.Epoch]api.SlotConfig
	current map[api.Slot]api.SlotConfig
	index   uint64
	serving map[slotEpoch]server
	acked   map[api.Slot][]ackedRecord
	counts  counts
}

// counts show that a run was not idle.
type counts struct {
	Acked, Read, Refused, Unknown  int
	Transfers, Promotions, Expands int
	Shrinks, Restores, Reports     int
	Crashes, Restarts, Elections   int
	Troubles                       int
	DiskFailures, Copies           uint64
}

type slotEpoch struct {
	slot  api.Slot
	epoch api.Epoch
}

// server is a process.
type server struct {
	api.Replica
	boot uint64
}

type ackedRecord struct {
	seq    ownership.Seq
	digest uint64
}

const faultsMax = 20

func newJudge(transcript *transcript) *judge {
	return &judge{
		transcript: transcript, configs: make(map[api.Slot]map[api.Epoch]api.SlotConfig), current: make(map[api.Slot]api.SlotConfig),
		serving: make(map[slotEpoch]server), acked: make(map[api.Slot][]ackedRecord),
	}
}

// fault notes that something is not as it must be.
func (j *judge) fault(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.blame(format, args...)
}

func (j *judge) blame(format string, args ...any) {
	if len(j.faults) < faultsMax {
		j.faults = append(j.faults, fmt.Sprintf(format, args...))
		j.transcript.add("fault", j.faults[len(j.faults)-1])
	}
}

func (j *judge) sound() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.faults) == 0
}

func (j *judge) count(f func(*counts)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f(&j.counts)
}

// checkEvery is how many entries go by between two looks at a whole state.
const checkEvery = 50

// committed looks at a state that an entry led to.
func (j *judge) committed(index uint64, entry []byte, state *fsm.State, result fsm.Result) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.transcript.entry(index, entry, state)
	if index%checkEvery == 0 {
		if err := state.Check(); err != nil {
			j.blame("the control plane's state after entry %d: %v", index, err)
		}
	}
	for _, config := range state.SlotsSince(j.index, false) {
		j.configured(config)
	}
	j.index = index
}

func (j *judge) configured(next api.SlotConfig) {
	was := j.current[next.Slot]
	j.current[next.Slot] = next
	if next.Recovering {
		return
	}
	epochs := j.configs[next.Slot]
	if epochs == nil {
		epochs = make(map[api.Epoch]api.SlotConfig)
		j.configs[next.Slot] = epochs
	}
	if known, is := epochs[next.Epoch]; is {
		if known.Primary != next.Primary || !sameSet(known.ISR, next.ISR) {
			j.blame("1: slot %d has two configurations in epoch %d: %+v and %+v", next.Slot, next.Epoch, known, next)
		}
		return
	}
	epochs[next.Epoch] = next
	j.tally(next.Kind)
	if next.Epoch < was.Epoch {
		j.blame("1: slot %d went from epoch %d to %d", next.Slot, was.Epoch, next.Epoch)
	}
	if next.Primary != "" && !slices.Contains(next.ISR, next.PrimaryReplica()) {
		j.blame("2: the primary of slot %d is not in sync: %+v", next.Slot, next)
	}
	atOnce := next.Epoch > was.Epoch+1 // a primary that is down brought the next one in sync
	if inherits(next.Kind) && !was.Recovering && !atOnce && !slices.Contains(was.ISR, next.PrimaryReplica()) && next.Primary != "" {
		j.blame("2: slot %d went to %s, which was not in sync: %+v, then %+v", next.Slot, next.Primary, was, next)
	}
}

// inherits reports whether such a change keeps what the slot holds.
func inherits(kind string) bool {
	_, ours := ownership.ParseKind(kind)
	return ours && kind != ownership.Force.String()
}

func (j *judge) tally(kind string) {
	switch kind {
	case ownership.Transfer.String():
		j.counts.Transfers++
	case ownership.Promote.String():
		j.counts.Promotions++
	case ownership.Expand.String():
		j.counts.Expands++
	case ownership.Shrink.String():
		j.counts.Shrinks++
	case fsm.KindReport.String():
		j.counts.Reports++
	}
}

func sameSet(a, b []api.Replica) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(m api.Replica) bool { return !slices.Contains(b, m) })
}

// serves hears that a process serves a slot in an epoch.
func (j *judge) serves(slot api.Slot, epoch api.Epoch, by server) {
	j.mu.Lock()
	defer j.mu.Unlock()
	at := slotEpoch{slot, epoch}
	if known, is := j.serving[at]; is && known != by {
		j.blame("9: %+v and %+v both serve slot %d in epoch %d", known, by, slot, epoch)
	}
	j.serving[at] = by
	if config, is := j.configs[slot][epoch]; !is || config.PrimaryReplica() != by.Replica {
		j.blame("7: %+v serves slot %d in epoch %d, which is %+v", by, slot, epoch, config)
	}
	if next, is := j.configs[slot][epoch+1]; is && next.Kind == ownership.Transfer.String() {
		j.blame("7: %+v serves slot %d in epoch %d, which it had sealed: %+v", by, slot, epoch, next)
	}
}

// emptied hears that a store gives up what it has of a slot: to delete it, or for a copy to take its place.
func (j *judge) emptied(self api.Replica, slot api.Slot, meta slotlog.Meta) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if config, is := j.configs[slot][meta.Adopted]; is && slices.Contains(config.ISR, self) {
		j.blame("10: %v gives slot %d up at epoch %d, in which it is in sync: %+v", self, slot, meta.Adopted, config)
	}
}

// acknowledged hears that a client was told of a record, and asks everybody in sync for it.
func (j *judge) acknowledged(slot api.Slot, record ackedRecord, store func(api.Replica) *witness) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.counts.Acked++
	j.acked[slot] = append(j.acked[slot], record)
	j.everywhere(slot, record, store)
}

func (j *judge) everywhere(slot api.Slot, record ackedRecord, store func(api.Replica) *witness) {
	for _, member := range j.current[slot].ISR {
		w := store(member)
		if w == nil {
			continue
		}
		if has, known := w.has(slot, record.seq, record.digest); known && !has {
			j.blame("3: record %d of slot %d was acknowledged, and is not at %v: %+v", record.seq, slot, member, j.current[slot])
		}
	}
}

// settled asks, at the end, everybody in sync for everything that was acknowledged.
func (j *judge) settled(store func(api.Replica) *witness) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for slot, records := range j.acked {
		for _, record := range records {
			j.everywhere(slot, record, store)
		}
	}
}
