package replication

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stead-io/stead/api"
)

// gathered starts a proposer's caller, which hands what it takes to the channel.
func gathered(t *testing.T) (*proposer, <-chan []proposal) {
	p, taken := newProposer(nil), make(chan []proposal)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for some := p.take(); some != nil; some = p.take() {
			taken <- some
		}
	}()
	t.Cleanup(func() {
		p.close()
		<-done
	})
	return p, taken
}

func TestPatientProposalsGoTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, taken := gathered(t)
		began := time.Now()
		for i := range 5 {
			p.add(nil, api.SlotProposal{Slot: api.Slot(i)}, true)
			time.Sleep(gatherTime / 10)
		}
		if some := <-taken; len(some) != 5 || time.Since(began) != gatherTime {
			t.Errorf("%d proposals went together after %v, want 5 after %v", len(some), time.Since(began), gatherTime)
		}
	})
}

func TestImpatientProposalTakesTheOthersAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, taken := gathered(t)
		began := time.Now()
		p.add(nil, api.SlotProposal{Slot: 1}, true)
		p.add(nil, api.SlotProposal{Slot: 2}, false)
		if some := <-taken; len(some) != 2 || time.Since(began) != 0 {
			t.Errorf("%d proposals went after %v, want 2 at once", len(some), time.Since(began))
		}
		time.Sleep(2 * gatherTime) // the first one's time is over: nothing is left to go
		p.add(nil, api.SlotProposal{Slot: 3}, true)
		began = time.Now()
		if some := <-taken; len(some) != 1 || time.Since(began) != gatherTime {
			t.Errorf("%d proposals went after %v, want 1 after %v", len(some), time.Since(began), gatherTime)
		}
	})
}

// More than one call takes go one after another, without waiting anew.
func TestProposalsPastACallFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, taken := gathered(t)
		began := time.Now()
		for i := range api.SlotProposalsMax + 1 {
			p.add(nil, api.SlotProposal{Slot: api.Slot(i)}, true)
		}
		first, second := <-taken, <-taken
		if len(first) != api.SlotProposalsMax || len(second) != 1 || time.Since(began) != gatherTime {
			t.Errorf("%d and %d proposals went after %v", len(first), len(second), time.Since(began))
		}
	})
}
