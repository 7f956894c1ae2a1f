package nodesvc

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc/replication"
)

// TestNodeReportsSlots: after a restore, what the engine adopted last, until it is taken; then the engine may
// be primary.
func TestNodeReportsSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine(replication.PlaceHere)
		config, control := engineConfig(t, f)
		f.adopted = []api.SlotConfig{{Slot: 3, Epoch: 8, Primary: "n0", ISR: []api.Replica{f.config.Self}}}
		restored := testViewOf(t, managedSettings(), testCluster, 9, 5, "n1")
		restored.Table.Version.Generation = 2
		control.publish(restored)
		control.wantsReport = true
		refusals := 1
		control.onReport = func() error {
			if refusals--; refusals >= 0 {
				return errAway
			}
			return nil
		}
		node := openNode(t, config)
		time.Sleep(2 * time.Second)
		closeNode(t, node)
		reports := control.slotReports
		if len(reports) != 2 || reports[1].Session == "" || len(reports[1].Slots) != 1 || reports[1].Slots[0].Epoch != 8 {
			t.Errorf("reported %+v", reports)
		}
		if len(f.registered) != 1 {
			t.Errorf("the engine heard of %d sessions: one that was not reported in is none", len(f.registered))
		}
		if !slices.Equal(f.former, []uint64{2, 2}) {
			t.Errorf("generations that were begun: %v", f.former)
		}
	})
}
