package replication

import (
	"context"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
)

// A slot cannot be sealed while a member joins. A node that leaves gives up on that one, or sees it in, before it
// hands the slot over.
func TestYieldOfASlotThatAMemberJoins(t *testing.T) {
	st := newStage(t, 2)
	defer st.stopAll()
	a := cast(st, 3)[0]
	st.want(7, "n1", "n2")
	a.put(t, 7, "a", "1")
	st.await(7, "both in sync", func(c api.SlotConfig) bool { return len(c.ISR) == 2 })
	s := a.slot(7)
	s.mu.Lock()
	s.lead.pending = append(s.lead.pending, member{Node: "n3", Store: storeOf("n3")})
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := a.Engine.Yield(ctx); err != nil {
		t.Fatal(err)
	}
	st.await(7, "n2 to be primary", func(c api.SlotConfig) bool { return c.Primary == "n2" })
}
