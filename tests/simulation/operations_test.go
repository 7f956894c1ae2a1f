package simulation

import (
	"fmt"
	"sync"
	"time"

	"github.com/stead-io/stead/tests/history"
)

// Bounds of one key, within which the search for an order ends soon.
const (
	operationsMax = 60
	openMax       = 6
)

// operations is the history of all keys. Its times are places in one order of calls and answers: many things
// happen at one moment of the simulation's clock.
type operations struct {
	transcript *transcript

	mu    sync.Mutex
	order time.Duration
	next  int
	lanes [lanes]int // how many keys each lane has had
	byKey map[string][]*history.Operation
}

func newOperations(transcript *transcript) *operations {
	return &operations{transcript: transcript, byKey: make(map[string][]*history.Operation)}
}

// key is the one that a lane goes to: another one, once there is enough to search through.
func (h *operations) key(lane int) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	open := 0
	of := h.byKey[laneKey(lane, h.lanes[lane])]
	for _, o := range of {
		if o.Answer == nil {
			open++
		}
	}
	if len(of) >= operationsMax || open >= openMax {
		h.lanes[lane]++
	}
	return laneKey(lane, h.lanes[lane])
}

// keysOf are all that a lane has had.
func (h *operations) keysOf(lane int) (keys []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for n := range h.lanes[lane] + 1 {
		keys = append(keys, laneKey(lane, n))
	}
	return keys
}

func (h *operations) begin(o history.Operation) history.Operation {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next++
	h.order++
	o.ID, o.Call = h.next, h.order
	if o.Writes() {
		o.Value = valueOf(o.ID)
	}
	kept := o
	h.byKey[o.Key] = append(h.byKey[o.Key], &kept)
	return o
}

// ended notes an answer; nil: nobody will know what became of the operation.
func (h *operations) ended(o history.Operation, answer *history.Answer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.order++
	if answer != nil {
		answer.Return = h.order
	}
	for _, kept := range h.byKey[o.Key] {
		if kept.ID == o.ID {
			kept.Answer = answer
			h.transcript.operation(*kept)
		}
	}
}

// refused forgets an operation that did nothing.
func (h *operations) refused(o history.Operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	of := h.byKey[o.Key]
	for i, kept := range of {
		if kept.ID == o.ID {
			h.byKey[o.Key] = append(of[:i:i], of[i+1:]...)
			return
		}
	}
}

// check looks for an order in which one copy of each key could have answered so.
func (h *operations) check(j *judge) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for key, of := range h.byKey {
		plain := make([]history.Operation, len(of))
		for i, o := range of {
			plain[i] = *o
		}
		if err := history.Check(plain); err != nil {
			j.fault("%s: %v", key, err)
		}
	}
}

func valueOf(id int) string { return fmt.Sprint("v", id) }
