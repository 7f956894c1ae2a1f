package replication

import (
	"path/filepath"
	"reflect"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc/replication/slotlog"
)

// formerOfStopped is what the log of an actor that was stopped has to say.
func formerOfStopped(t *testing.T, st *stage, self member) []api.SlotConfig {
	t.Helper()
	log, err := slotlog.OpenDisk(filepath.Join(st.dir, string(self.Node)), slotlog.DiskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	engine, err := Open(Config{Self: self, Bits: testBits, Service: newWords(), Log: log, Control: &actor{stage: st, self: self}})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	return engine.Former(2)
}

// TestFormer: each store tells the configuration it adopted last, also after a restart and of a slot that it
// has given away; then it obeys no epoch of that generation.
func TestFormer(t *testing.T) {
	st := newStage(t, 2)
	defer st.stopAll()
	actors := cast(st, 3)
	st.want(7, "n1", "n2")
	actors[0].put(t, 7, "a", "1")
	st.want(7, "n3", "n2")
	st.await(7, "the move", func(c api.SlotConfig) bool { return held(c, "n3", "n2", "n3") })
	actors[2].put(t, 7, "b", "2")
	st.mu.Lock()
	last := st.configs[7]
	st.mu.Unlock()
	last.Want = nil
	want := []api.SlotConfig{last}

	if got := actors[2].Former(2); !reflect.DeepEqual(got, want) {
		t.Errorf("the primary adopted %+v, want %+v", got, want)
	}
	if w := actors[2].Where(7); w.Place != PlaceElsewhere {
		t.Errorf("after that it stands at %v", w.Place)
	}
	st.tell() // as a member would that has not heard of the new generation
	actors[2].inbox.add(func() {})
	if err := actors[2].Read(t.Context(), 7, func() error { return nil }, false); err == nil {
		t.Error("it reads in the former generation")
	}
	actors[1].Former(2)
	if actors[1].slot(7).confirms(last.Epoch) {
		t.Error("a replica confirms an epoch of the former generation")
	}
	for i, a := range actors[1:] {
		st.stop(a)
		if got := formerOfStopped(t, st, a.self); !reflect.DeepEqual(got, want) {
			t.Errorf("after a restart n%d adopted %+v, want %+v", i+2, got, want)
		}
	}
	next := last
	next.Epoch = api.EpochFloor(2) + 2
	actors[0].Learn(api.SlotFeed{Cursor: api.SlotCursor{Generation: 2, Index: 1}, Slots: []api.SlotConfig{next}})
	if got := actors[0].Former(2); len(got) != 0 && got[0].Epoch > last.Epoch {
		t.Errorf("a configuration of the new generation is reported: %+v", got)
	}
}
