package replication

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stead-io/stead/api"
)

func cast(st *stage, n int) (actors []*actor) {
	for i := range n {
		actors = append(actors, st.start(api.NodeID(fmt.Sprintf("n%d", i+1))))
	}
	return actors
}

func held(c api.SlotConfig, primary api.NodeID, nodes ...api.NodeID) bool {
	var isr []api.NodeID
	for _, m := range c.ISR {
		isr = append(isr, m.Node)
	}
	slices.Sort(isr)
	return c.Primary == primary && slices.Equal(isr, nodes)
}

func TestSingle(t *testing.T) {
	st := newStage(t, 1)
	defer st.stopAll()
	a := cast(st, 1)[0]
	st.want(7, "n1")
	for i := range 100 {
		a.put(t, 7, fmt.Sprint("k", i), fmt.Sprint(i))
	}
	a.get(t, 7, "k42", "42")
}

func TestReplicated(t *testing.T) {
	st := newStage(t, 2)
	defer st.stopAll()
	actors := cast(st, 2)
	st.want(7, "n1", "n2")
	for i := range 100 {
		actors[0].put(t, 7, fmt.Sprint("k", i), fmt.Sprint(i))
	}
	actors[0].get(t, 7, "k42", "42")
	st.down(actors[0])
	actors[1].get(t, 7, "k99", "99")
	actors[1].put(t, 7, "k1", "after")
	actors[1].get(t, 7, "k1", "after")
}

// TestMove: the slot goes to a node that has nothing of it, and the one before deletes what it had.
func TestMove(t *testing.T) {
	for _, replicas := range []int{1, 2} {
		st := newStage(t, replicas)
		actors := cast(st, 3)
		want := []api.NodeID{"n1", "n2"}[:replicas]
		st.want(7, want...)
		for i := range 50 {
			actors[0].put(t, 7, fmt.Sprint("k", i), fmt.Sprint(i))
		}
		st.want(7, append([]api.NodeID{"n3"}, want[1:]...)...)
		after := append(slices.Clone(want[1:]), "n3")
		st.await(7, "the move", func(c api.SlotConfig) bool { return held(c, "n3", after...) })
		actors[2].get(t, 7, "k49", "49")
		actors[2].put(t, 7, "k1", "moved")
		st.stopAll()
	}
}

// TestRejoin: a replica that was away catches up and is in sync again.
func TestRejoin(t *testing.T) {
	st := newStage(t, 2)
	defer st.stopAll()
	actors := cast(st, 2)
	st.want(7, "n1", "n2")
	actors[0].put(t, 7, "a", "1")
	st.stop(actors[1])
	actors[0].put(t, 7, "b", "2") // waits until n2 is taken out
	st.await(7, "the shrink", func(c api.SlotConfig) bool { return held(c, "n1", "n1") })
	st.start("n2")
	st.await(7, "the return", func(c api.SlotConfig) bool { return held(c, "n1", "n1", "n2") })
	actors[0].put(t, 7, "c", "3")
}
