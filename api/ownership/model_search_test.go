package ownership_test

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"runtime"
	"strings"
	"sync"
	"time"
)

// A search goes through all states within a model's bounds, breadth first, so that the trace to the first
// violation is as short as any. A state is known by its hash: at 50 million states the chance that any two
// share theirs is below one in ten thousand.
type search struct {
	model    *model
	limit    int                             // of states; 0: none
	promises bool                            // look only for what clients are promised
	progress func(format string, arg ...any) // nil: nobody hears

	seed    maphash.Seed
	visited [shardCount]shard
	found   outcome
	mu      sync.Mutex // of found
}

// An outcome is what a search found.
type outcome struct {
	states, depth int
	whole         bool // all states within the bounds were seen
	taken         [actionCount]int
	accepted      [proposalEnd]int
	broken        string
	trace         []step
	elapsed       time.Duration

	brokenAt uint64 // hash of the state before, and the step that broke it
	last     step
}

const shardCount = 256

// A shard is a part of the states seen, each with the one it was reached from.
type shard struct {
	mu   sync.Mutex
	from map[uint64]uint64
}

func (s *search) run() outcome {
	began := time.Now()
	s.seed = maphash.MakeSeed()
	for i := range s.visited {
		s.visited[i].from = map[uint64]uint64{}
	}
	initial := s.model.initial()
	s.see(s.hash(initial), 0)
	front := []state{*initial}
	s.found.states = 1
	for len(front) > 0 && s.found.broken == "" && (s.limit == 0 || s.found.states < s.limit) {
		front = s.level(front)
		s.found.states += len(front)
		s.found.depth++
		if s.progress != nil {
			s.progress("depth %d: %d states, %d new, %s", s.found.depth, s.found.states, len(front), time.Since(began).Round(time.Second))
		}
	}
	s.found.whole = len(front) == 0
	if s.found.broken != "" {
		s.found.trace = append(s.trace(s.found.brokenAt), s.found.last)
	}
	s.found.elapsed = time.Since(began)
	return s.found
}

func (s *search) hash(of *state) uint64 { return maphash.Comparable(s.seed, *of) }

// see notes a state, and reports whether it is new.
func (s *search) see(hash, from uint64) bool {
	in := &s.visited[hash%shardCount]
	in.mu.Lock()
	defer in.mu.Unlock()
	if _, seen := in.from[hash]; seen {
		return false
	}
	in.from[hash] = from
	return true
}

// level goes one step further from every state in front.
func (s *search) level(front []state) []state {
	workers := runtime.GOMAXPROCS(0)
	parts := make([][]state, workers)
	var group sync.WaitGroup
	for i := range workers {
		part := front[i*len(front)/workers : (i+1)*len(front)/workers]
		group.Go(func() { parts[i] = s.expand(part) })
	}
	group.Wait()
	next := parts[0]
	for _, part := range parts[1:] {
		next = append(next, part...)
	}
	return next
}

func (s *search) expand(front []state) (next []state) {
	var taken [actionCount]int
	var accepted [proposalEnd]int
	for i := range front {
		before, hash := &front[i], s.hash(&front[i])
		s.model.each(before, func(after *state, step step, broken string) {
			if taken[step.action]++; step.action == decided {
				accepted[step.what]++
			}
			if broken = s.judge(before, after, step, broken); broken != "" {
				s.report(broken, hash, step)
				return
			}
			if s.see(s.hash(after), hash) {
				next = append(next, *after)
			}
		})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for action, count := range taken {
		s.found.taken[action] += count
	}
	for p, count := range accepted {
		s.found.accepted[p] += count
	}
	return next
}

func (s *search) judge(before, after *state, taken step, broken string) string {
	state := s.model.broken(after)
	if !s.promises {
		return cmp.Or(state, broken, s.model.brokenStep(before, after, taken))
	}
	if broken == staleRead {
		return staleRead
	}
	return state
}

// report notes a violation. Of several on one level the first by its words stands, whichever worker comes first.
func (s *search) report(broken string, before uint64, last step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.found.broken == "" || broken < s.found.broken {
		s.found.broken, s.found.brokenAt, s.found.last = broken, before, last
	}
}

// trace walks again to a state, along the states that it was reached from.
func (s *search) trace(to uint64) (steps []step) {
	var path []uint64
	for hash := to; hash != 0; hash = s.visited[hash%shardCount].from[hash] {
		path = append(path, hash)
	}
	at := s.model.initial()
	for i := len(path) - 2; i >= 0; i-- {
		var next *state
		s.model.each(at, func(after *state, taken step, _ string) {
			if next == nil && s.hash(after) == path[i] {
				copied := *after
				next, steps = &copied, append(steps, taken)
			}
		})
		at = next
	}
	return steps
}

// String is the outcome in words, with the trace if there is one.
func (o outcome) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d states, depth %d, %s", o.states, o.depth, o.elapsed.Round(10*time.Millisecond))
	if !o.whole && o.broken == "" {
		text.WriteString(", cut off")
	}
	if o.broken != "" {
		fmt.Fprintf(&text, "\nbroken in %d steps: %s", len(o.trace), o.broken)
	}
	for i, step := range o.trace {
		fmt.Fprintf(&text, "\n%3d. %s", i+1, step)
	}
	return text.String()
}
