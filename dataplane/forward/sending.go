package forward

import (
	"iter"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// ContinueWait bounds the wait for 100 (Continue) before a body that could not be replayed is
	// sent all the same: a node may not know the expectation (RFC 9110, section 10.1.1).
	ContinueWait = time.Second
	// LastWordsWait bounds the wait for a body whose source is at its end, and that for the answer of a node
	// that takes no more.
	LastWordsWait = 50 * time.Millisecond
)

// Sending is a body on its way to a node, beside the reading of the answer: one that comes early is seen early.
// It ends by itself or by Finish; whoever started it waits for it.
type Sending struct {
	body      *Body
	begin     sync.Once
	halt      sync.Once
	halted    chan struct{}
	done      chan struct{}
	exhausted atomic.Bool // the body's source has given all
	whole     bool        // Pieces went through all of it
	sent      bool        // the whole body went out; read behind done
}

// Prepare is for a body that is sent once Start is called, if it ever is.
func (s *Sending) Prepare(body *Body) {
	s.body, s.halted, s.done = body, make(chan struct{}), make(chan struct{})
}

// Start runs what sends the body, and reports whether all of it went out. It is called once, or changes nothing.
func (s *Sending) Start(run func() (sent bool)) {
	s.begin.Do(func() {
		go func() {
			defer close(s.done)
			s.sent = run()
		}()
	})
}

// Halted is closed once the rest is not to be sent.
func (s *Sending) Halted() <-chan struct{} { return s.halted }

// Finish stops the sending and waits for it; it reports whether the whole body went out.
func (s *Sending) Finish() bool {
	s.halt.Do(func() { close(s.halted) })
	s.begin.Do(func() { close(s.done) })
	<-s.done
	return s.sent
}

// Over reports whether the whole body has gone out. One that lacks only the last words to the node is waited for:
// its answer may overtake them.
func (s *Sending) Over() bool {
	if s.exhausted.Load() {
		timer := time.NewTimer(LastWordsWait)
		defer timer.Stop()
		select {
		case <-s.done:
		case <-timer.C:
		}
	}
	select {
	case <-s.done:
		return s.sent
	default:
		return false
	}
}

// Pieces are what of the body is kept and what its source still gives, until it ends, fails or is halted.
func (s *Sending) Pieces(most int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if kept := s.body.kept; len(kept) > 0 && !yield(kept, nil) {
			return
		}
		for !s.body.ended {
			piece, err := s.body.more(most)
			if err != nil {
				yield(nil, err)
				return
			}
			s.exhausted.Store(s.body.ended)
			select {
			case <-s.halted:
				return
			default:
			}
			if len(piece) > 0 && !yield(piece, nil) {
				return
			}
		}
		s.whole = true
	}
}

// Whole reports whether Pieces has gone through the whole body. To be asked by run alone.
func (s *Sending) Whole() bool { return s.whole }
