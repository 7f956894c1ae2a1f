package ownership_test

import (
	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
)

// What the model's arrays hold at most; bounds say how much of it a search uses.
const (
	nodeCount = 3
	slotCount = 2
	epochMax  = 7
	recordMax = 3
	storeMax  = 3 // processes of a node, where each has a store of its own
)

// A member is a node with one of its stores: 1 + node + nodeCount*store. Zero is nobody.
type member uint8

func memberOf(node int, store uint8) member { return member(1 + node + nodeCount*int(store)) }
func (m member) node() int                  { return int(m-1) % nodeCount }
func (m member) store() uint8               { return uint8(m-1) / nodeCount }

// A set holds at most one store of each node, in its place.
type set [nodeCount]member

// A configuration is that of an epoch, which is its place in a slot's history.
type configuration struct {
	primary member
	isr     set
}

// A record is the epoch it was appended in, and the value of one client's write, from 1.
type record uint8

func recordOf(epoch, value uint8) record { return record(epoch<<4 | value) }
func (r record) value() uint8            { return uint8(r) & 15 }

// An ack is a store with the last record that it has, or 0.
type ack uint8

func ackOf(m member, last uint8) ack { return ack(1 + last + m.store()<<4) }

// of is what the ack says of a member: an ack of the node's former store says nothing.
func (a ack) of(m member) (ownership.Seq, bool) {
	if a == 0 || uint8(a>>4) != m.store() {
		return 0, false
	}
	return ownership.Seq(a&15) - 1, true
}

type role uint8

const (
	unread  role = iota // the process has not read the configuration of the epoch it is in
	outside             // neither in sync nor primary
	backup
	opening // primary that may not serve yet
	open
)

// A replica is what one node has of one slot.
type replica struct {
	// As durable as the store.
	records        [recordMax]record
	starts         [epochMax + 1]uint8 // history: where an epoch starts, or 0
	last           uint8
	applied        uint8
	adopted, acked uint8 // epochs

	// The process's.
	role      role
	sealed    bool
	matched   bool // its log is a prefix of the primary's
	commit    uint8
	pending   set
	ackedBy   [nodeCount]ack
	reading   bool
	must, saw uint8 // of the read: values seen before it began, values it returns
	confirmed uint8 // of the read: nodes, as bits
}

// A slot is what the control plane, the nodes and the network have of one slot.
type slot struct {
	history  [epochMax + 1]configuration // by epoch; those behind epoch are not made yet
	epoch    uint8                       // of the present configuration
	want     uint8                       // index in bounds.wants
	proposed uint64                      // proposals on their way, as bits; see proposal
	lost     bool                        // the only copy was in memory, and is gone
	// After a restore: the highest epoch told of, and the nodes that have reported.
	recovering     bool
	best, reported uint8

	replicas [nodeCount]replica
	sent     [nodeCount][epochMax + 1]ack // the latest ack of a node in an epoch, on its way
	// The seal on its way: by the primary of an epoch, to whom, and where the log ends.
	sealEpoch, sealTo, sealAt uint8

	writes uint8 // made so far; the next value is one more
	seen   uint8 // values that were acknowledged, or returned by a read
}

// A node is one process after another, and what the control plane believes of them.
type node struct {
	up         bool
	store      uint8 // of the process
	boot       uint8 // of the process
	registered bool  // the process is
	since      [slotCount]uint8
	generation uint8

	known     uint8 // store that the control plane has registered
	knownBoot uint8
	late      uint8 // boot of a process that ended with its registration on its way
	lateStore uint8
	down      bool // so the control plane holds
}

// A state is everything there is. It is plain memory: hashed and compared whole.
type state struct {
	slots      [slotCount]slot
	nodes      [nodeCount]node
	generation uint8
	renewed    uint8 // epoch of the slot in which the present generation began
	crashes    uint8
	suspicions uint8
	replans    uint8 // changes of want
}

// config is what the functions under test take.
func (c configuration) config(epoch uint8) ownership.Config[member] {
	return ownership.Config[member]{Epoch: api.Epoch(epoch), Primary: c.primary, ISR: c.isr.members()}
}

func (s *slot) config(epoch uint8) ownership.Config[member] {
	return s.history[epoch].config(epoch)
}

// setsByIndex holds every set as a slice, so that a search need not allocate them.
var setsByIndex = func() (all [1 << (2 * nodeCount)][]member) {
	for index := range all {
		for node := range nodeCount {
			if at := index >> (2 * node) & 3; at > 0 {
				all[index] = append(all[index], memberOf(node, uint8(at-1)))
			}
		}
		all[index] = all[index][:len(all[index]):len(all[index])]
	}
	return all
}()

func (s set) members() []member {
	index := 0
	for node, m := range s {
		if m != 0 {
			index |= (int(m.store()) + 1) << (2 * node)
		}
	}
	return setsByIndex[index]
}

func (s set) has(m member) bool { return m != 0 && s[m.node()] == m }

func setOf(members []member) (s set) {
	for _, m := range members {
		s[m.node()] = m
	}
	return s
}

func (r *replica) values(upTo uint8) (bits uint8) {
	for _, record := range r.records[:upTo] {
		bits |= 1 << record.value()
	}
	return bits
}

func (r *replica) ackOf(m member) (ownership.Seq, bool) { return r.ackedBy[m.node()].of(m) }

// log is the history as the functions under test take it.
func (r *replica) log() []ownership.EpochStart {
	var entries []ownership.EpochStart
	for epoch, start := range r.starts {
		if start > 0 {
			entries = append(entries, ownership.EpochStart{Epoch: api.Epoch(epoch), Start: ownership.Seq(start)})
		}
	}
	return entries
}

func (r *replica) setLog(entries []ownership.EpochStart) {
	clear(r.starts[:])
	for _, entry := range entries {
		r.starts[entry.Epoch] = uint8(entry.Start)
	}
}

func (r *replica) truncate(last uint8) {
	clear(r.records[last:])
	r.last = last
}

// forget is what a process takes with it when it ends, and a new epoch takes from it.
func (r *replica) forget() {
	r.role, r.sealed, r.matched, r.commit = unread, false, false, r.applied
	r.pending, r.ackedBy = set{}, [nodeCount]ack{}
	r.endRead()
}

func (r *replica) endRead() { r.reading, r.must, r.saw, r.confirmed = false, 0, 0, 0 }

func (r *replica) adopt(epoch uint8) {
	r.forget()
	r.adopted = epoch
}

func (r *replica) leads() bool  { return r.role >= opening }
func (r *replica) serves() bool { return r.role == open && !r.sealed }

// member is the store that a node's process has.
func (s *state) member(node int) member { return memberOf(node, s.nodes[node].store) }
