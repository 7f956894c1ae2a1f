package history

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Bounds of one key.
const (
	OperationsMax = 200
	OpenMax       = 8 // operations without an answer
)

// Recorder keeps the history of many keys, in memory and in a journal. It is safe for concurrent use.
type Recorder struct {
	began time.Time

	mu      sync.Mutex
	journal *journal
	failure error // the first of the journal
	next    int   // id
	lanes   []*key
	keys    map[string]*key
	order   []string // keys, oldest first
	running map[int]*Operation
}

// key is one that operations go to.
type key struct {
	name       string
	retired    bool // it takes no more
	unanswered int
	operations []*Operation
}

// Open makes a recorder with a number of lanes, each of which has one key at a time. If the journal at path
// exists, it goes on where that ended: operations without an answer stay open, and every lane begins anew.
func Open(path string, lanes int) (*Recorder, error) {
	r := &Recorder{keys: map[string]*key{}, running: map[int]*Operation{}, lanes: make([]*key, lanes)}
	var last time.Duration
	opened, err := openJournal(path, func(next line) { last = max(last, r.replay(next)) })
	if err != nil {
		return nil, err
	}
	for _, name := range r.order {
		r.keys[name].retired = true
	}
	r.journal, r.running = opened, map[int]*Operation{}
	r.began = time.Now().Add(-last - time.Second)
	return r, nil
}

// replay returns the newest time that a line tells.
func (r *Recorder) replay(next line) time.Duration {
	if next.Begin != nil {
		r.add(next.Begin)
		return next.Begin.Call
	}
	return r.settle(*next.End)
}

// Close writes out the journal.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.journal.close()
}

// Flush writes out the journal, and returns the first error there ever was with it.
func (r *Recorder) Flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.note(r.journal.flush())
	return r.failure
}

func (r *Recorder) note(err error) {
	if r.failure == nil {
		r.failure = err
	}
}

// Key is the key of a lane now.
func (r *Recorder) Key(lane int) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lanes[lane] == nil || r.lanes[lane].retired {
		r.lanes[lane] = r.newKey(fmt.Sprintf("k%d-%d", lane, len(r.keys)))
	}
	return r.lanes[lane].name
}

func (r *Recorder) newKey(name string) *key {
	made := &key{name: name}
	r.keys[name], r.order = made, append(r.order, name)
	return made
}

// Begin records that an operation is about to be sent; its ID and Call are filled in, and its Value if it
// writes one. It is false if the key takes no more.
func (r *Recorder) Begin(o Operation) (Operation, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if to := r.keys[o.Key]; to == nil || to.retired {
		return o, false
	}
	return r.begin(o), true
}

// BeginLast is Begin for the reads at the end: every key takes them.
func (r *Recorder) BeginLast(o Operation) Operation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.begin(o)
}

func (r *Recorder) begin(o Operation) Operation {
	o.ID, o.Call = r.next, time.Since(r.began)
	if o.Writes() {
		o.Value = fmt.Sprintf("v%d", o.ID)
	}
	kept := o
	r.add(&kept)
	r.note(r.journal.append(line{Begin: &kept}))
	return o
}

func (r *Recorder) add(o *Operation) {
	to := r.keys[o.Key]
	if to == nil {
		to = r.newKey(o.Key)
	}
	to.operations = append(to.operations, o)
	to.unanswered++
	if len(to.operations) >= OperationsMax || to.unanswered >= OpenMax {
		to.retired = true
	}
	r.running[o.ID], r.next = o, max(r.next, o.ID+1)
}

// Answered records what came back; Return is filled in.
func (r *Recorder) Answered(id int, answer Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	answer.Return = time.Since(r.began)
	r.end(ending{ID: id, Answer: &answer})
}

// Unknown records that nobody will know what became of an operation. Of a read that is nothing at all.
func (r *Recorder) Unknown(id int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end(ending{ID: id, Refused: r.running[id].Kind == Get})
}

// Refused records that the operation was turned away before it did anything.
func (r *Recorder) Refused(id int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end(ending{ID: id, Refused: true})
}

func (r *Recorder) end(how ending) {
	r.settle(how)
	r.note(r.journal.append(line{End: &how}))
}

func (r *Recorder) settle(how ending) (returned time.Duration) {
	o := r.running[how.ID]
	delete(r.running, how.ID)
	of := r.keys[o.Key]
	switch {
	case how.Refused:
		of.operations = slices.DeleteFunc(of.operations, func(other *Operation) bool { return other == o })
		of.unanswered--
	case how.Answer != nil:
		o.Answer, returned = how.Answer, how.Answer.Return
		of.unanswered--
	}
	return returned
}

// Keys lists all keys there have been, oldest first.
func (r *Recorder) Keys() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.order)
}

// Of is what is recorded of one key, in the order of calls.
func (r *Recorder) Of(name string) []Operation {
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.keys[name]
	if of == nil {
		return nil
	}
	operations := make([]Operation, len(of.operations))
	for i, o := range of.operations {
		operations[i] = *o
	}
	return operations
}

// Retired lists the keys, from the given place in Keys on, that take no more and have nothing under way, up to
// the first that is not so, and the place behind them.
func (r *Recorder) Retired(from int) (names []string, next int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for next = from; next < len(r.order); next++ {
		of := r.keys[r.order[next]]
		busy := slices.ContainsFunc(of.operations, func(o *Operation) bool { return r.running[o.ID] != nil })
		if !of.retired || busy {
			break
		}
		names = append(names, of.name)
	}
	return names, next
}
