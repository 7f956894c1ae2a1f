package replication

import (
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/nodesvc/replication/slotlog"
)

// heldLog is a log whose appends become durable when it is told to.
type heldLog struct {
	slotlog.Store
	held bool
	late []func()
}

func (l *heldLog) Append(slot api.Slot, entries []slotlog.Entry, meta *slotlog.Meta, done func(error)) {
	if !l.held {
		l.Store.Append(slot, entries, meta, done)
		return
	}
	l.late = append(l.late, func() { l.Store.Append(slot, entries, meta, done) })
}

// TestAppliesWhatIsDurable: a replica that catches up hears of commits that did not wait for it. It applies
// nothing that its own log could still lose.
func TestAppliesWhatIsDurable(t *testing.T) {
	log := &heldLog{Store: slotlog.NewMemory()}
	defer log.Close()
	service := newWords()
	engine, err := Open(Config{Self: member{Node: "n2", Store: storeOf("n2")}, Bits: testBits, Service: service, Log: log, Volatile: true})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	primary := member{Node: "n1", Store: storeOf("n1")}
	at := SlotEpoch{Slot: 7, Epoch: 3}
	s := engine.slot(7)
	s.onStart(primary, Start{SlotEpoch: at, Primary: primary, ISR: []member{primary}, History: []ownership.EpochStart{{Epoch: 3, Start: 1}}})
	entry := slotlog.Entry{Seq: 1, Epoch: 3, Record: []byte("a=1")}
	entry.Digest = chain(0, entry)
	log.held = true
	s.onAppend(primary, Append{SlotEpoch: at, Commit: 1, Entries: []slotlog.Entry{entry}})
	until(t, "the commit to be known", func() bool { return s.holdingIdle().Committed == 1 })
	if got := service.get(7, "a"); got != "" {
		t.Errorf("%q is applied before the record is durable", got)
	}
	for _, write := range log.late {
		write()
	}
	until(t, "the record to be applied", func() bool { return service.get(7, "a") == "1" })
}

// holdingIdle is the slot once no worker is at it.
func (s *slot) holdingIdle() Holding {
	q := s.engine.queue
	q.mu.Lock()
	busy := s.scheduled || q.busy[s]
	q.mu.Unlock()
	if busy {
		return Holding{}
	}
	holding, _ := s.holding()
	return holding
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
