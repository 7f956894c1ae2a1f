package httpapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/fsm"
)

// answersMax is how many encodings of one publication are kept for the next who asks. There are as many as
// there are points that those who wait ask after: a few, unless somebody makes them up.
const answersMax = 256

// touchCheck is how often a member looks whether it still hears from a leader.
const touchCheck = 250 * time.Millisecond

// feed is what a fanout publishes of the state.
type feed struct {
	// coalesce is the window after a publication in which later ones are gathered: the first change goes out
	// at once, a flood of them once a window.
	coalesce time.Duration
	// mark tells publications apart, and their order within a generation.
	mark func(*fsm.State) api.Version
	// read prepares a state for being encoded.
	read func(*fsm.State) (content, error)
}

// content is what a publication says.
type content interface {
	encode(kind answerKind) ([]byte, *api.Problem, error)
}

// fanout publishes the states that its feed tells apart to those who wait for them.
type fanout struct {
	control    Control
	feed       feed
	publishing sync.Mutex // held while deciding on and making the next current
	stopped    bool       // nothing is published any more; guarded by publishing
	current    atomic.Pointer[published]
	waiting    atomic.Int64 // polls that wait for news
}

func newFanout(control Control, feed feed) *fanout {
	f := &fanout{control: control, feed: feed}
	f.current.Store(&published{next: make(chan struct{})})
	return f
}

// published is one state with its encodings, as all who ask share it.
type published struct {
	state   *fsm.State // nil before the first
	mark    api.Version
	content content
	// trouble ends all waiting: this member is cut off, or stops.
	trouble *api.Problem
	next    chan struct{} // closed when something else is published

	mu      sync.Mutex
	answers map[answerKind]*answer
}

// answerKind tells encodings of one publication apart.
type answerKind struct {
	media string
	from  api.Version // of what is told as a difference
	gzip  bool
}

// answer is a body as it is sent; ready is closed when it stands.
type answer struct {
	ready   chan struct{}
	body    body
	problem *api.Problem
	err     error
}

type body struct {
	octets []byte
	gzip   bool
}

func (f *fanout) run(ctx context.Context) {
	check := time.NewTicker(touchCheck)
	defer check.Stop()
	for ctx.Err() == nil {
		changed := f.control.Changed()
		if f.publishNews() {
			select {
			case <-ctx.Done():
			case <-time.After(f.feed.coalesce):
			}
			continue
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-check.C:
		}
	}
	f.publishing.Lock()
	defer f.publishing.Unlock()
	f.stopped = true
	f.publish(f.control.State(), api.NewProblem(api.CodeNoLeader, "this member is stopping"))
}

// answering is the publication that a request is answered from, or waits behind.
func (f *fanout) answering(r *http.Request) *published {
	current := f.current.Load()
	if !r.URL.Query().Has("after") || current.trouble != nil {
		return f.fresh()
	}
	return current
}

// fresh is the present state, published before its time if need be: who does not wait must not
// be answered from the past, nor anybody be refused for trouble that is over.
func (f *fanout) fresh() *published {
	current := f.current.Load()
	if current.state != nil && current.trouble == nil && current.mark == f.feed.mark(f.control.State()) {
		return current
	}
	f.publishNews()
	return f.current.Load()
}

// publishNews publishes the present state if it differs from what is out.
func (f *fanout) publishNews() bool {
	f.publishing.Lock()
	defer f.publishing.Unlock()
	last, state := f.current.Load(), f.control.State()
	if state.Cluster == "" || f.stopped {
		return false
	}
	var trouble *api.Problem
	if !f.control.InTouch() {
		trouble = api.NewProblem(api.CodeNoLeader, "this member has lost touch with the leader")
	}
	if last.state != nil && last.mark == f.feed.mark(state) && (last.trouble == nil) == (trouble == nil) {
		return false
	}
	f.publish(state, trouble)
	return true
}

func (f *fanout) publish(state *fsm.State, trouble *api.Problem) {
	next := &published{
		trouble: trouble,
		next:    make(chan struct{}), answers: make(map[answerKind]*answer),
	}
	// Reading cannot fail for a state that holds its invariants; if it did, watchers keep what they have.
	if content, err := f.feed.read(state); state.Cluster != "" && err == nil {
		next.state, next.mark, next.content = state, f.feed.mark(state), content
	}
	close(f.current.Swap(next).next)
}

// await waits for a publication that differs from after in a way worth telling: a later one, or any of
// another generation. nil: the wait ran out.
func (f *fanout) await(ctx context.Context, current *published, after api.Version, wait time.Duration) (*published, *api.Problem) {
	f.waiting.Add(1)
	defer f.waiting.Add(-1)
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	for {
		if current.state == nil {
			return nil, current.trouble
		}
		if current.mark.Generation != after.Generation || current.mark.Number > after.Number {
			return current, nil
		}
		if current.trouble != nil {
			return nil, current.trouble
		}
		select {
		case <-current.next:
			current = f.current.Load()
		case <-deadline.C:
			return nil, nil
		case <-ctx.Done():
			return nil, nil
		}
	}
}

// encoded returns the body of a kind, made by whoever asks for it first.
func (p *published) encoded(kind answerKind) (body, *api.Problem, error) {
	p.mu.Lock()
	known, made := p.answers[kind]
	if !made {
		known = &answer{ready: make(chan struct{})}
		if len(p.answers) < answersMax {
			p.answers[kind] = known
		}
	}
	p.mu.Unlock()
	if made {
		<-known.ready
	} else {
		known.body, known.problem, known.err = p.encode(kind)
		close(known.ready)
	}
	return known.body, known.problem, known.err
}

func (p *published) encode(kind answerKind) (body, *api.Problem, error) {
	if !kind.gzip {
		octets, problem, err := p.content.encode(kind)
		return body{octets: octets}, problem, err
	}
	kind.gzip = false
	plain, problem, err := p.encoded(kind)
	if problem != nil || err != nil || len(plain.octets) < compressMin {
		return plain, problem, err
	}
	octets, err := compress(plain.octets)
	return body{octets: octets, gzip: true}, nil, err
}

// compressMin is from how many bytes on a body is worth the time of compressing it, and of each who asked of
// unpacking it: what changes at a time is mostly less.
const compressMin = 4 << 10

// compressors are kept: each is most of a megabyte.
var compressors = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

func compress(plain []byte) ([]byte, error) {
	var buffer bytes.Buffer
	writer := compressors.Get().(*gzip.Writer)
	defer compressors.Put(writer)
	writer.Reset(&buffer)
	if _, err := writer.Write(plain); err != nil {
		return nil, fmt.Errorf("cannot compress an answer: %w", err)
	}
	if err := writer.Close(); err != nil {
		return nil, fmt.Errorf("cannot compress an answer: %w", err)
	}
	return buffer.Bytes(), nil
}
