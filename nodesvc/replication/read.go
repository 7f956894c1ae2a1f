package replication

import (
	"context"
	"slices"
	"time"

	"github.com/stead-io/stead/api"
)

// confirmPause is how long a read waits before it asks again, when a replica could not be asked.
const confirmPause = 10 * time.Millisecond

// Read runs read on the state, and returns once every replica in sync has confirmed, since the call, that no
// other primary can have changed it; with local it does not ask. An error of read is returned as it is,
// confirmed likewise; others are *api.Problem, and nothing was changed.
func (e *Engine) Read(ctx context.Context, number api.Slot, read func() error, local bool) error {
	defer e.latencies.since(time.Now())
	s := e.slot(number)
	stay, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer stay.leave()
	defer e.count.reads.Add(1)
	if local {
		return read()
	}
	asked := s.ask(stay)
	err = read()
	if asked.done() {
		return s.settleRead(ctx, stay, err) // the slot may have left meanwhile, and its state with it
	}
	return s.await(ctx, stay, asked, err)
}

// Hold runs during inside the slot, however long it takes: the slot is not handed over before it returns. It is neither
// counted nor timed as reads are, for it says nothing of how fast the slot is.
func (e *Engine) Hold(ctx context.Context, number api.Slot, during func()) error {
	stay, err := e.slot(number).enter(ctx)
	if err != nil {
		return err
	}
	defer stay.leave()
	during()
	return nil
}

// settleRead confirms what was read inside the slot, and returns the outcome of reading.
func (s *slot) settleRead(ctx context.Context, stay *stay, outcome error) error {
	asked := s.ask(stay)
	if asked.done() {
		return outcome
	}
	return s.await(ctx, stay, asked, outcome)
}

// asking is a read that waits for confirmations in one epoch.
type asking struct {
	epoch   api.Epoch
	answers map[member]*answer
}

// done reports whether nobody needs to be asked.
func (a *asking) done() bool { return a != nil && len(a.answers) == 0 }

// ask asks everybody who must confirm the epoch; nil if the store is not primary any more.
func (s *slot) ask(stay *stay) *asking {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !stay.inside(s) {
		return nil
	}
	asked := &asking{epoch: s.lead.epoch, answers: make(map[member]*answer)}
	for _, m := range s.need() {
		asked.answers[m] = s.engine.confirms.ask(m, s.inEpoch(asked.epoch))
	}
	return asked
}

// await returns the outcome once it is confirmed. A refusal or a lost connection is not the end: the epoch
// may have given way to another of this store's own, in which it asks again.
func (s *slot) await(ctx context.Context, stay *stay, asked *asking, outcome error) error {
	for {
		if asked == nil {
			return s.elsewhere()
		}
		if asked.confirmed(ctx, s.engine.closing) && s.covers(stay, asked) {
			return outcome
		}
		if !s.renewed(stay, asked) {
			select {
			case <-ctx.Done():
				return api.NewProblem(api.CodeNotConfirmed, "the replicas of slot %d did not all answer", s.number)
			case <-s.engine.closing:
				return api.NewProblem(api.CodeDraining, "the node is leaving")
			case <-time.After(confirmPause):
				s.engine.attend(s)
			}
		}
		asked = s.ask(stay)
	}
}

// renewed reports whether the store is primary in another epoch than the one that was asked about.
func (s *slot) renewed(stay *stay, asked *asking) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return stay.inside(s) && s.lead.epoch != asked.epoch
}

// confirmed waits for all answers.
func (a *asking) confirmed(ctx context.Context, closing <-chan struct{}) bool {
	for _, answer := range a.answers {
		select {
		case <-answer.given:
			if !answer.yes {
				return false
			}
		case <-ctx.Done():
			return false
		case <-closing:
			return false
		}
	}
	return true
}

// covers reports whether those who confirmed are, still, all who must.
func (s *slot) covers(stay *stay, asked *asking) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !stay.inside(s) || s.lead.epoch != asked.epoch {
		return false
	}
	return !slices.ContainsFunc(s.need(), func(m member) bool { return asked.answers[m] == nil })
}
