package replication

import (
	"context"
	"sync"
	"time"

	"github.com/stead-io/stead/api"
)

// Limits of proposing to the control plane.
const (
	proposalTimeout   = 5 * time.Second
	proposalPause     = 100 * time.Millisecond // after a call that failed
	proposalsInFlight = 4                      // calls at once
	gatherTime        = 125 * time.Millisecond // for which proposals that nothing waits for are gathered
)

// proposer gathers proposals of many slots into few calls: each call is an entry of the control plane's log, which
// three disks sync.
type proposer struct {
	engine *Engine

	mu     sync.Mutex
	filled *sync.Cond
	queue  []proposal
	due    bool // what is queued is to go
	closed bool
}

type proposal struct {
	slot *slot
	api.SlotProposal
}

func newProposer(engine *Engine) *proposer {
	p := &proposer{engine: engine}
	p.filled = sync.NewCond(&p.mu)
	return p
}

// add queues a proposal of a slot that has none on its way, so the queue never grows past the ring. One that is
// patient waits for others.
func (p *proposer) add(s *slot, asked api.SlotProposal, patient bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(p.queue, proposal{s, asked})
	switch {
	case !patient:
		p.send()
	case len(p.queue) == 1:
		time.AfterFunc(gatherTime, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.send()
		})
	}
}

// send lets go what is queued. The proposer is locked.
func (p *proposer) send() {
	p.due = len(p.queue) > 0
	p.filled.Signal()
}

func (p *proposer) take() []proposal {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.due && !p.closed {
		p.filled.Wait()
	}
	if p.closed {
		return nil
	}
	n := min(len(p.queue), api.SlotProposalsMax)
	taken := p.queue[:n:n]
	p.queue = p.queue[n:]
	p.send()
	return taken
}

func (p *proposer) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.filled.Broadcast()
}

// run calls the control plane until the engine closes.
func (p *proposer) run(ctx context.Context) {
	for taken := p.take(); taken != nil; taken = p.take() {
		p.call(ctx, taken)
	}
}

func (p *proposer) call(ctx context.Context, taken []proposal) {
	asked := make([]api.SlotProposal, len(taken))
	for i, one := range taken {
		asked[i] = one.SlotProposal
	}
	calling, cancel := context.WithTimeout(ctx, proposalTimeout)
	verdicts, err := p.engine.config.Control.Propose(calling, asked)
	cancel()
	p.engine.count.proposals.Add(uint64(len(taken)))
	if err != nil || len(verdicts.Verdicts) != len(taken) {
		p.engine.logger.Debug("proposals are without an answer", "count", len(taken), "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(proposalPause):
		}
		for _, one := range taken {
			one.slot.proposed()
		}
		return
	}
	for i, one := range taken {
		verdict := verdicts.Verdicts[i]
		if verdict.Refusal != "" {
			p.engine.count.refused.Add(1)
			p.engine.logger.Debug("a proposal was refused", "slot", one.Slot, "kind", one.Kind, "refusal", verdict.Refusal)
		}
		one.slot.proposed()
		one.slot.learn(verdict.Config, order(verdicts.Cursor))
	}
}

// proposed notes that no proposal is on its way any more.
func (s *slot) proposed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proposing = false
	if s.passed != nil {
		s.passed()
		s.passed = nil
	}
	s.engine.attend(s)
}

// propose asks for the slot's next configuration, patiently if it passed the gate for changes that may wait. The slot
// is locked.
func (s *slot) propose(kind string, primary member, isr []member, silent bool) {
	if s.proposing || s.engine.config.Control == nil {
		return
	}
	s.proposing = true
	s.engine.proposer.add(s, api.SlotProposal{
		Slot: s.number, Base: s.config.Epoch, Kind: kind, Primary: primary.Node, ISR: isr, Silent: silent,
	}, s.passed != nil && !s.short() && !s.engine.unhindered())
}
