package replication

import (
	"testing"

	"github.com/stead-io/stead/api"
)

// Members of the in-sync set come and go, and the slot is served all the while: in every epoch that its primary
// goes through, from the moment it begins.
func TestSlotStaysServedWhileMembersComeAndGo(t *testing.T) {
	st := newStage(t, 2)
	defer st.stopAll()
	actors := cast(st, 3)
	a := actors[0]
	st.want(7, "n1")
	a.put(t, 7, "a", "1")
	s := a.slot(7)
	closed := make(chan api.Epoch, 1)
	watch := make(chan struct{})
	defer close(watch)
	go func() {
		for {
			where := a.Where(7)
			if where.Place != PlaceHere {
				closed <- where.Epoch
				return
			}
			select {
			case <-where.Moved:
			case <-watch:
				return
			}
		}
	}()
	for i, want := range [][]api.NodeID{{"n1", "n2"}, {"n1", "n3"}, {"n1", "n2"}} {
		st.want(7, want...)
		st.await(7, "its replicas", func(c api.SlotConfig) bool {
			return len(c.ISR) == 2 && c.ISR[0].Node != c.ISR[1].Node && (c.ISR[0].Node == want[1] || c.ISR[1].Node == want[1])
		})
		a.put(t, 7, "a", string(rune('2'+i)))
		a.get(t, 7, "a", string(rune('2'+i)))
	}
	s.mu.Lock()
	epoch := s.config.Epoch
	s.mu.Unlock()
	if epoch < 6 {
		t.Errorf("epoch %v: there were too few changes to mean anything", epoch)
	}
	select {
	case epoch := <-closed:
		t.Errorf("the slot was not served in epoch %v", epoch)
	default:
	}
}
