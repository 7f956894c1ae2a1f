package replication

import (
	"slices"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/nodesvc/replication/slotlog"
)

// lead is what a primary keeps of one epoch.
type lead struct {
	epoch     api.Epoch
	start     seq // where the log ended when the epoch began: so far it must be acknowledged anew
	open      bool
	pending   []member
	followers map[member]*follower
	sections  *sections // updates and reads inside; they outlive an epoch that follows without a gap
	handover  *handover // while the slot is being handed over
	forgot    seq       // first record of a state that broke off, and was said to have
}

// follower is another replica as its primary sees it in one epoch.
type follower struct {
	member       member
	started      bool // it follows on the present connection
	need         bool // it must be given a copy first
	known        bool // acked is of this epoch
	acked        seq
	sent         seq       // up to which records were sent on the present connection
	full         bool      // its disk is
	begun        time.Time // when Start was sent
	owes         time.Time // since when it owes an answer; zero: it does not
	blocked      string    // why it cannot take the slot
	blockedUntil time.Time
	copy         *copyOut
	given        seq       // the record that its last copy is of
	rehearsing   bool      // without a log: a rehearsal of the copy is under way
	rehearsed    time.Time // when the last one went well
}

// Limits of what is on its way to one follower of a slot.
const (
	framePayloadMax = 256 << 10 // bytes of records in one frame, but for one that is larger
	windowMax       = 4 << 20   // bytes sent and not acknowledged while it catches up
	joinLagMax      = 64        // records that a follower may be behind and be joined
)

// reignIn begins an epoch as its primary: the whole in-sync set has to acknowledge the log anew. Where that of the
// epoch before was served nobody is kept waiting for it but those whose requests it completes.
func (s *slot) reignIn(config config) {
	if s.lead != nil && s.lead.epoch == config.Epoch {
		return
	}
	next := &lead{epoch: config.Epoch, start: s.last, sections: newSections(), followers: make(map[member]*follower)}
	next.open = s.lead != nil && s.lead.open && ownership.Continues(s.meta.Config, config) && s.mayLeadAlone()
	var copies map[member]*copyOut
	if was := s.lead; was != nil && was.epoch+1 == config.Epoch {
		next.sections, copies = was.sections, was.copies()
		if s.carriesOver(was, config) {
			next.handover = was.handover
		} else {
			was.endHandover(s)
		}
	} else {
		s.depose()
	}
	s.lead = next
	for _, m := range config.Others() {
		s.lead.follower(m).owes = time.Now()
	}
	for m, copy := range copies {
		f := s.lead.follower(m)
		f.copy, f.need = copy, true
	}
	s.follow = follow{}
	s.meta.Held = true
	s.adoptEpoch(config, ownership.Truncated(s.meta.History, s.last, config.Epoch))
	for _, f := range s.lead.followers {
		s.begin(f)
	}
	s.announce()
	s.engine.schedule(s)
}

func (l *lead) copies() map[member]*copyOut {
	running := make(map[member]*copyOut)
	for m, f := range l.followers {
		if f.copy != nil {
			running[m] = f.copy
		}
	}
	return running
}

// follower is the member as a follower, made if need be.
func (l *lead) follower(m member) *follower {
	f := l.followers[m]
	if f == nil {
		f = &follower{member: m}
		l.followers[m] = f
	}
	return f
}

// end lets go of what the epoch held on to.
func (l *lead) end(s *slot) {
	l.endHandover(s)
	for _, f := range l.followers {
		f.copy.cancel()
	}
}

// serves reports whether requests are let in.
func (l *lead) serves() bool {
	return l.open && (l.handover == nil || !l.handover.shut)
}

func (l *lead) acked(m member) (seq, bool) {
	f := l.followers[m]
	if f == nil {
		return 0, false
	}
	return f.acked, f.known
}

// obstacle is why a follower is left alone for now, empty where it is not: it refused, or has no room and is not in
// sync. Slots that it joined would take no writes.
func (s *slot) obstacle(f *follower, now time.Time) string {
	switch {
	case now.Before(f.blockedUntil):
		return f.blocked
	case f.full && !s.config.InSync(f.member):
		return diskNearlyFull
	default:
		return ""
	}
}

// need is who must acknowledge a record and confirm a read.
func (s *slot) need() []member { return ownership.Need(s.config, s.lead.pending) }

// begin opens the epoch towards a follower, if it is connected.
func (s *slot) begin(f *follower) {
	f.started, f.sent, f.begun = false, 0, time.Now()
	hello, linked := s.engine.peer(f.member.Node)
	if !linked || hello.Store != f.member.Store {
		return
	}
	s.engine.send(f.member.Node, Start{
		SlotEpoch: s.inEpoch(s.lead.epoch), Primary: s.config.Primary, ISR: s.config.ISR,
		History: s.meta.History, Last: s.last, Commit: s.commit,
	})
}

func (s *slot) inEpoch(epoch api.Epoch) SlotEpoch { return SlotEpoch{Slot: s.number, Epoch: epoch} }

// onStarted hears where a follower stands.
func (s *slot) onStarted(from member, m Started) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lead == nil || s.lead.epoch != m.Epoch {
		return
	}
	f := s.lead.followers[from]
	if f == nil {
		return
	}
	f.started, f.need, f.sent = true, m.Need || f.copy != nil, m.Last
	if !f.need {
		s.acknowledged(f, m.Last, m.Digest, false)
	} else if !s.config.InSync(from) {
		f.owes = time.Time{}
	}
	s.discount(f)
	s.engine.schedule(s)
	s.engine.attend(s)
}

// discount has nothing count that a follower acknowledged before a copy: the copy takes the place of its log, and
// may end before. What is in sync or joining keeps its log.
func (s *slot) discount(f *follower) {
	if f.need && !slices.Contains(s.need(), f.member) {
		f.known, f.acked, f.owes = false, 0, time.Time{}
	}
}

// onAck hears how far a follower's log is durable.
func (s *slot) onAck(from member, m Ack) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lead == nil || s.lead.epoch != m.Epoch || s.lead.followers[from] == nil {
		return
	}
	s.acknowledged(s.lead.followers[from], m.Seq, m.Digest, m.Full)
	s.engine.schedule(s)
}

func (s *slot) acknowledged(f *follower, at seq, digest uint64, full bool) {
	if at > s.last || f.known && at < f.acked {
		return
	}
	defer s.discount(f)
	if own, kept := s.digestAt(at); kept && own != digest {
		s.engine.logger.Error("a replica's log differs", "slot", s.number, "replica", f.member.Node, "seq", at)
		f.block("its log differs from the primary's", time.Now())
		f.need, f.started = true, false
		return
	}
	if at > f.acked || !f.known {
		f.owes = time.Now()
	}
	f.acked, f.known, f.full = at, true, full
	if f.acked >= s.last {
		f.owes = time.Time{}
	}
}

// advance commits what everybody who must has, and opens the slot once it may be served.
func (s *slot) advance() {
	l := s.lead
	if l == nil || s.adopted < l.epoch {
		return
	}
	commit := ownership.Committed(s.commit, s.durable, s.need(), l.acked)
	if commit > s.commit {
		s.commit = commit
		s.engine.commits.note(s)
	}
	if !l.open && s.mayLeadAlone() && ownership.MayOpen(s.config, l.start, s.durable, s.applied, l.acked) {
		s.openSlot()
	}
}

// mayLeadAlone: without a log, a primary serves only while nobody else could.
func (s *slot) mayLeadAlone() bool {
	return !s.engine.config.Frozen || len(s.config.ISR) == 1
}

func (s *slot) openSlot() {
	l := s.lead
	l.open = true
	s.announce()
	s.engine.attend(s)
	if s.sealTo != nil && s.sealTo.from != "" {
		s.engine.send(s.sealTo.from, Opened{SlotEpoch: s.inEpoch(l.epoch), ISR: s.config.ISR})
	}
	s.sealTo = nil
	s.forgetPieces()
}

// pump sends followers the records they lack, from memory; it answers whether one needs the log for that.
func (s *slot) pump() (behind []*follower) {
	if s.lead == nil {
		return nil
	}
	for _, f := range s.lead.followers {
		for f.started && !f.need && f.sent < s.last {
			if _, kept := s.at(f.sent + 1); !kept {
				behind = append(behind, f)
				break
			}
			s.sendRecords(f, s.tail[f.sent+1-s.tail[0].Seq:])
		}
	}
	return behind
}

// sendRecords sends the first records of a list, at most a frame full, which begin behind what was sent.
func (s *slot) sendRecords(f *follower, entries []slotlog.Entry) {
	size, n := 0, 0
	for n < len(entries) && (n == 0 || size+len(entries[n].Record) <= framePayloadMax) {
		size += len(entries[n].Record)
		n++
	}
	sent := s.engine.send(f.member.Node, Append{SlotEpoch: s.inEpoch(s.lead.epoch), Commit: s.commit, Entries: entries[:n]})
	if !sent {
		f.started = false // the connection is lost, and Linked will begin anew
		return
	}
	if f.owes.IsZero() {
		f.owes = time.Now()
	}
	f.sent = entries[n-1].Seq
}

// feed sends a follower records from the log. It runs without the slot's lock held.
func (s *slot) feed(f *follower) {
	s.mu.Lock()
	l := s.lead
	if l == nil || l.followers[f.member] != f || !f.started || f.need || f.sent-min(f.sent, f.acked) > tailRecordsMax {
		s.mu.Unlock()
		return
	}
	from := f.sent + 1
	s.mu.Unlock()
	entries, err := s.engine.config.Log.Read(s.number, from, windowMax/4)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lead != l || !f.started || f.sent+1 != from {
		return
	}
	if err != nil || len(entries) == 0 {
		f.need = true // the log no longer reaches back
		s.discount(f)
		s.engine.attend(s)
		return
	}
	for len(entries) > 0 && f.started {
		before := f.sent
		s.sendRecords(f, entries)
		entries = entries[f.sent-before:]
	}
}

// linked begins anew with a replica that is connected now.
func (s *slot) linked(m member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lead == nil {
		return
	}
	if f := s.lead.followers[m]; f != nil {
		s.begin(f)
	}
}

// lost forgets what was on its way to a replica.
func (s *slot) lost(m member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lead == nil {
		if s.follow.primary == m {
			s.follow.started = false
		}
		return
	}
	if f := s.lead.followers[m]; f != nil {
		f.started = false
		if f.owes.IsZero() && slices.Contains(s.need(), m) {
			f.owes = time.Now()
		}
		s.engine.attend(s)
	}
}

// onStale hears that a replica knows a higher epoch: the control plane will tell which.
func (s *slot) onStale(m Stale) {
	s.engine.count.epochsRefused.Add(1)
	s.engine.attend(s)
}
