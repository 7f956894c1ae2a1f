package replication

import (
	"errors"
	"fmt"
	"slices"

	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/nodesvc/replication/slotlog"
)

// onStart follows a primary into an epoch: the log is cut to what both share. A store that has applied more
// than that cannot take it back, and needs a copy. So says one that is not in sync and has no room: it refuses the copy
// that it is offered, and joins nothing meanwhile.
func (s *slot) onStart(from member, m Start) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if from != m.Primary || s.engine.former(m.Epoch) || ownership.Judge(s.meta.Adopted, m.Epoch) == ownership.Refuse || s.lead != nil && s.lead.epoch >= m.Epoch {
		s.refuse(from)
		return
	}
	if s.releasing || s.unreported(m.Epoch) {
		return // it is asked again
	}
	begun := config{Epoch: m.Epoch, Primary: m.Primary, ISR: m.ISR}
	if m.Epoch > s.config.Epoch {
		s.config, s.read = begun, 0
		s.announce()
	}
	s.depose()
	shared := ownership.CommonPrefix(s.meta.History, s.last, m.History, m.Last)
	s.meta.Acked = max(s.meta.Acked, m.Epoch)
	need := shared < s.applied || shared < s.meta.Base || s.incoming != nil || s.engine.diskFull() && !begun.InSync(s.engine.config.Self)
	s.follow = follow{primary: from, started: !need}
	if need {
		s.adoptEpoch(begun, nil)
	} else {
		s.adopt(begun)
		s.meta.Held = true
		s.meta.History = slices.Clone(m.History)
		s.cutTo(shared)
		s.truncate(shared)
		s.committed(m.Commit)
	}
	s.engine.schedule(s)
}

// truncate cuts the log to last and writes what was adopted. All that was queued before is durable with it.
func (s *slot) truncate(last seq) {
	cut, adopted := s.written.mark(), s.adoptedDone(s.meta.Adopted)
	s.engine.config.Log.Truncate(s.number, last, s.metaCopy(), func(err error) {
		if err == nil {
			s.written.reached(cut, last)
		}
		adopted(err)
	})
}

// refuse answers a message of an epoch that has passed.
func (s *slot) refuse(from member) {
	s.engine.count.epochsRefused.Add(1)
	s.engine.send(from.Node, Stale{s.inEpoch(s.meta.Adopted)})
}

// cutTo forgets the records behind last.
func (s *slot) cutTo(last seq) {
	if last >= s.last {
		return
	}
	if digest, kept := s.digestAt(last); kept {
		s.tip = digest
	} else {
		s.tip = s.digestFromLog(last)
	}
	if len(s.tail) > 0 {
		s.tail = slices.Clone(s.tail[:max(0, int(last+1)-int(s.tail[0].Seq))])
	}
	s.last, s.durable = last, min(s.durable, last)
	s.written.truncated(last)
}

// digestFromLog is the digest of the chain at a record that only the log has. A log that cannot be read fails,
// and the engine with it.
func (s *slot) digestFromLog(at seq) uint64 {
	entries, err := s.engine.config.Log.Read(s.number, at, 1)
	if err != nil || len(entries) == 0 || entries[0].Seq != at {
		s.engine.fail(fmt.Errorf("cannot read record %d of slot %d: %w", at, s.number, errors.Join(err, errNoState)))
		return 0
	}
	return entries[0].Digest
}

// onAppend takes records that follow what there is, and learns how far they are committed.
func (s *slot) onAppend(from member, m Append) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.engine.former(m.Epoch) || ownership.Judge(s.meta.Adopted, m.Epoch) == ownership.Refuse {
		s.refuse(from)
		return
	}
	if m.Epoch != s.meta.Adopted || !s.follow.started || s.follow.primary != from {
		return // of a connection or an epoch that is over: Start comes first
	}
	entries := m.Entries
	for len(entries) > 0 && entries[0].Seq <= s.last {
		entries = entries[1:]
	}
	if len(entries) > 0 && entries[0].Seq == s.last+1 {
		s.append(entries)
	}
	s.committed(m.Commit)
}

// append queues records for the log, behind the last.
func (s *slot) append(entries []slotlog.Entry) {
	s.tail = append(s.tail, entries...)
	end := entries[len(entries)-1]
	s.last, s.tip = end.Seq, end.Digest
	cut := s.written.mark()
	s.engine.config.Log.Append(s.number, entries, nil, func(err error) {
		if err == nil {
			s.written.reached(cut, end.Seq)
			s.engine.schedule(s)
		}
	})
}

// committed learns how far the primary has committed.
func (s *slot) committed(upTo seq) {
	if upTo = min(upTo, s.last); upTo > s.commit {
		s.commit = upTo
		s.engine.schedule(s)
	}
}

// onCommit is committed of a message that says nothing else.
func (s *slot) onCommit(from member, m Commit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.Epoch == s.meta.Adopted && s.follow.started && s.follow.primary == from {
		s.committed(m.Seq)
	}
}

// answer tells the primary what is on disk by now: first that the epoch is, then how far the log is.
func (s *slot) answer() {
	f := &s.follow
	if s.lead != nil || f.primary == (member{}) || s.adopted < s.meta.Adopted {
		return
	}
	if !f.answered && s.meta.Acked == s.meta.Adopted {
		f.answered, f.acked, f.full = true, s.durable, false
		s.engine.send(f.primary.Node, Started{SlotEpoch: s.inEpoch(s.meta.Adopted), Last: s.durable, Need: !f.started, Digest: s.digestOfDurable()})
	}
	if full := s.engine.diskFull(); f.started && f.answered && (s.durable > f.acked || full != f.full) {
		f.acked, f.full = s.durable, full
		s.engine.send(f.primary.Node, Ack{SlotEpoch: s.inEpoch(s.meta.Adopted), Seq: s.durable, Digest: s.digestOfDurable(), Full: full})
	}
}

// digestOfDurable is the digest of the chain at the last record on disk. Of a store that needs a copy nobody asks.
func (s *slot) digestOfDurable() uint64 {
	digest, kept := s.digestAt(s.durable)
	if !kept && s.follow.started {
		digest = s.digestFromLog(s.durable)
	}
	return digest
}
