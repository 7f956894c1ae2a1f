package nodesvc

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// inGeneration is a view of another generation.
func inGeneration(t testing.TB, generation, version uint64, epoch api.Epoch, owner api.NodeID) *ring.View {
	view := testView(t, version, epoch, owner)
	view.Table.Version.Generation = generation
	return view
}

// TestNodeReportsWhatItActedOn: after a restore the node registers at once, and reports the ring of the
// generation before; that stays on its disk until the report was taken.
func TestNodeReportsWhatItActedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := testView(t, 7, 5, "n0")
		control := newFakeControl(first)
		config := testConfig(control)
		config.DataDir = t.TempDir()
		node := openNode(t, config)
		time.Sleep(1100 * time.Millisecond) // between two beats
		refusals := 2
		control.script(func() {
			control.wantsReport = true
			control.onBeat = func(beat api.Beat) error {
				if beat.Session == "s1" {
					return api.NewProblem(api.CodeUnknownSession, "")
				}
				return nil
			}
			control.onReport = func() error {
				if refusals > 0 {
					refusals--
					return errAway
				}
				return nil
			}
		})
		control.publish(inGeneration(t, 2, 9, 1<<32+1, ""))
		time.Sleep(40 * time.Millisecond)
		if calls := control.history(); calls != "register beat" {
			t.Errorf("before the pause: %s", calls)
		}
		if kept := node.keptView(); kept == nil || kept.Table.Version.Generation != 1 {
			t.Errorf("on disk before the report: %v", kept)
		}
		time.Sleep(2 * time.Second)
		control.mu.Lock()
		reports := control.reports
		control.mu.Unlock()
		if len(reports) != 3 || reports[2] == nil || reports[2].Table.Version != first.Table.Version {
			t.Fatalf("reported %v", reports)
		}
		if kept := node.keptView(); kept == nil || kept.Table.Version.Generation != 2 {
			t.Errorf("on disk after the report: %v", kept)
		}
		closeNode(t, node)
	})
}

// TestNodeReportsWhatAnEarlierRunActedOn: the process died between the restore and its report.
func TestNodeReportsWhatAnEarlierRunActedOn(t *testing.T) {
	folder := t.TempDir()
	run := func(view *ring.View, wantsReport bool) []*ring.View {
		var reports []*ring.View
		synctest.Test(t, func(t *testing.T) {
			control := newFakeControl(view)
			control.wantsReport = wantsReport
			config := testConfig(control)
			config.DataDir = folder
			node := openNode(t, config)
			time.Sleep(time.Second)
			closeNode(t, node)
			reports = control.reports
		})
		return reports
	}
	run(testView(t, 7, 5, "n0"), false)
	reports := run(inGeneration(t, 2, 9, 1<<32+1, ""), true)
	if len(reports) != 1 || reports[0] == nil || reports[0].Table.Version.String() != "1-7" {
		t.Errorf("reported %v", reports)
	}
	if reports = run(inGeneration(t, 2, 10, 1<<32+2, "n0"), true); len(reports) != 1 || reports[0] != nil {
		t.Errorf("reported twice: %v", reports)
	}
}

// TestNodeRegistersWithoutReports: a control plane of before reports refuses the offer, not the node.
func TestNodeRegistersWithoutReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := newFakeControl(testView(t, 7, 5, "n0"))
		control.onRegister = func(registration api.Registration) error {
			if registration.Reports {
				return api.NewProblem(api.CodeInvalid, "there is no such field").InField("reports")
			}
			return nil
		}
		node := openNode(t, testConfig(control))
		defer closeNode(t, node)
		time.Sleep(time.Second)
		if node.registered.Load() == nil || node.Err() != nil {
			t.Errorf("not registered: %v", node.Err())
		}
	})
}
