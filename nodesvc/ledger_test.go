package nodesvc

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc/replication"
)

// TestLedger: it holds the newest configurations that the store is in sync in, and those of the generation
// before until they are reported.
func TestLedger(t *testing.T) {
	self := api.Replica{Node: "n0", Store: "a"}
	l, err := openLedger(self, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	config := func(slot api.Slot, epoch api.Epoch, members ...api.Replica) api.SlotConfig {
		return api.SlotConfig{Slot: slot, Epoch: epoch, ISR: members}
	}
	other := api.Replica{Node: "n0", Store: "b"}
	want := func(generation uint64, epochs ...api.Epoch) {
		t.Helper()
		got := l.before(generation)
		same := len(got) == len(epochs)
		for i := 0; same && i < len(got); i++ {
			same = got[i].Epoch == epochs[i]
		}
		if !same {
			t.Errorf("before generation %d: %v, want epochs %v", generation, got, epochs)
		}
	}
	l.note(1, []api.SlotConfig{config(1, 4, self), config(2, 4, other), config(3, 4, other, self), config(5, 4, self)})
	l.note(1, []api.SlotConfig{config(1, 3, other), config(5, 5, other)}) // one is old, one ends it
	want(1)
	want(2, 4, 4)

	recovering := config(1, 9, self)
	recovering.Recovering = true
	l.note(2, []api.SlotConfig{recovering, config(3, 9, self)})
	l.note(1, []api.SlotConfig{config(6, 12, self)}) // late
	want(2, 4, 4)
	l.reported(2)
	want(2)
	want(3, 9)
}

// TestNodeReportsSlots: after a restore, what the store was in sync in before; also if the process was another
// one then.
func TestNodeReportsSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine(replication.PlaceHere)
		config, control := engineConfig(t, f)
		config.DataDir = t.TempDir()
		node := openNode(t, config)
		time.Sleep(time.Second)
		synctest.Wait()
		self := f.config.Self
		mine := api.SlotConfig{Slot: 3, Epoch: 8, Primary: "n0", ISR: []api.Replica{self}}
		control.tell(api.SlotFeed{Cluster: testCluster, Cursor: api.SlotCursor{Generation: 1, Index: 9}, Slots: []api.SlotConfig{mine}})
		closeNode(t, node)

		restored := testViewOf(t, managedSettings(), testCluster, 9, 5, "n1")
		restored.Table.Version.Generation = 2
		control = newFakeControl(restored)
		control.wantsReport = true
		refusals := 1
		control.onReport = func() error {
			if refusals--; refusals >= 0 {
				return errAway
			}
			return nil
		}
		mine.Recovering, mine.Epoch = true, 7
		control.tell(api.SlotFeed{Cluster: testCluster, Cursor: api.SlotCursor{Generation: 2, Index: 9}, Full: true, Slots: []api.SlotConfig{mine}})
		again := newFakeEngine(replication.PlaceHere)
		config.ControlPlane, config.openEngine = control, again.open
		node = openNode(t, config)
		time.Sleep(2 * time.Second)
		closeNode(t, node)
		reports := control.slotReports
		if len(reports) != 2 || reports[1].Session == "" || len(reports[1].Slots) != 1 || reports[1].Slots[0].Epoch != 8 {
			t.Errorf("reported %+v", reports)
		}
		if len(again.registered) != 1 {
			t.Errorf("the engine heard of %d sessions: one that was not reported in is none", len(again.registered))
		}
	})
}
