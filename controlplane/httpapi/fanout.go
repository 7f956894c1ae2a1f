package httpapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/controlplane/fsm"
)

// coalesce is the window after a published version in which later ones are gathered: the first change
// goes out at once, a flood of them ten times a second.
const coalesce = 100 * time.Millisecond

// touchCheck is how often a member looks whether it still hears from a leader.
const touchCheck = 250 * time.Millisecond

// fanout publishes ring versions to those who wait for them.
type fanout struct {
	control    Control
	publishing sync.Mutex // held while deciding on and making the next current
	stopped    bool       // nothing is published any more; guarded by publishing
	current    atomic.Pointer[published]
	waiting    atomic.Int64 // polls that wait for news
}

func newFanout(control Control) *fanout {
	f := &fanout{control: control}
	f.current.Store(&published{next: make(chan struct{})})
	return f
}

// published is one ring version with its encodings, as all who ask share it.
type published struct {
	state *fsm.State // nil before the first
	view  *ring.View
	// trouble ends all waiting: this member is cut off, or stops.
	trouble *api.Problem
	next    chan struct{} // closed when something else is published

	mu      sync.Mutex
	answers map[answerKind]*answer
}

// answerKind tells encodings of one version apart.
type answerKind struct {
	media string
	from  api.Version // of a delta
	gzip  bool
}

// answer is an encoded body; ready is closed when it stands.
type answer struct {
	ready   chan struct{}
	body    []byte
	problem *api.Problem
	err     error
}

func (f *fanout) run(ctx context.Context) {
	check := time.NewTicker(touchCheck)
	defer check.Stop()
	for ctx.Err() == nil {
		changed := f.control.Changed()
		if f.publishNews() {
			select {
			case <-ctx.Done():
			case <-time.After(coalesce):
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

// fresh is the present state's ring, published before its time if need be: who does not wait must not
// be answered from the past, nor anybody be refused for trouble that is over.
func (f *fanout) fresh() *published {
	current := f.current.Load()
	if current.state != nil && current.trouble == nil && current.state.Version() == f.control.State().Version() {
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
	if last.state != nil && last.state.Version() == state.Version() && (last.trouble == nil) == (trouble == nil) {
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
	// A view cannot fail for a state that holds its invariants; if it did, watchers keep what they have.
	if view, err := ring.NewView(state.Settings, state.Table()); state.Cluster != "" && err == nil {
		next.state, next.view = state, view
	}
	close(f.current.Swap(next).next)
}

// encoded returns the body of a kind, made by whoever asks for it first.
func (p *published) encoded(kind answerKind) ([]byte, *api.Problem, error) {
	p.mu.Lock()
	known, made := p.answers[kind]
	if !made {
		known = &answer{ready: make(chan struct{})}
		p.answers[kind] = known
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

func (p *published) encode(kind answerKind) ([]byte, *api.Problem, error) {
	if kind.gzip {
		kind.gzip = false
		plain, problem, err := p.encoded(kind)
		if problem != nil || err != nil {
			return nil, problem, err
		}
		return compress(plain)
	}
	switch kind.media {
	case api.TypeRing:
		return p.view.Encode(), nil, nil
	case api.TypeRingDelta:
		return p.encodeDelta(kind.from)
	default:
		body, err := json.Marshal(p.view.JSON())
		return append(body, '\n'), nil, err
	}
}

func (p *published) encodeDelta(from api.Version) ([]byte, *api.Problem, error) {
	past, problem := p.state.At(from.Number)
	if problem != nil {
		return nil, problem, nil
	}
	var settings *api.Settings
	if !past.Settings.Equal(p.view.Settings) {
		settings = &p.view.Settings
	}
	body, err := json.Marshal(ring.Between(past.Table, p.view.Table).Wire(settings))
	return append(body, '\n'), nil, err
}

func compress(plain []byte) ([]byte, *api.Problem, error) {
	var buffer bytes.Buffer
	writer := gzip.NewWriter(&buffer)
	if _, err := writer.Write(plain); err != nil {
		return nil, nil, fmt.Errorf("cannot compress an answer: %w", err)
	}
	if err := writer.Close(); err != nil {
		return nil, nil, fmt.Errorf("cannot compress an answer: %w", err)
	}
	return buffer.Bytes(), nil, nil
}
