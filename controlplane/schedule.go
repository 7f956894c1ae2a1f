package controlplane

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/durable"
	"github.com/stead-io/stead/controlplane/fsm"
)

// scheduleLook is how often a member whose cluster is not founded yet looks again.
const scheduleLook = time.Second

// savedName matches the files that the schedule writes, and only those.
var savedName = regexp.MustCompile(`^stead-([0-9a-f]{8})-([0-9]+)-([0-9]+)-([0-9]{8}T[0-9]{6}Z)\.snapshot$`)

// schedule is how saving snapshots goes. A failure is told and tried again; it never ends the member.
type schedule struct {
	mu   sync.Mutex
	last api.SnapshotSchedule

	saved *fsm.State // the state saved last, of this run
}

// Snapshots is how saving snapshots goes on this member.
func (m *Member) Snapshots() api.SnapshotSchedule {
	m.schedule.mu.Lock()
	defer m.schedule.mu.Unlock()
	now := m.schedule.last
	now.On = m.config.SnapshotDir != ""
	return now
}

// snapshotAlarms say that saving snapshots wants a person.
func (m *Member) snapshotAlarms() []string {
	if trouble := m.Snapshots().Trouble; trouble != "" {
		return []string{fmt.Sprintf("member %s cannot save snapshots: %s", m.config.Name, trouble)}
	}
	return nil
}

// saveSnapshots saves the state as this member has it, every so often, until ctx ends.
func (m *Member) saveSnapshots(ctx context.Context) {
	for {
		wait := m.config.SnapshotEvery
		if state := m.State(); state.Cluster == "" {
			wait = min(wait, scheduleLook)
		} else {
			m.noteSaved(m.saveSnapshot(state, time.Now()))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

func (m *Member) noteSaved(saved bool, err error) {
	m.schedule.mu.Lock()
	defer m.schedule.mu.Unlock()
	last := &m.schedule.last
	if err != nil {
		last.Failures++
		last.Trouble = err.Error()
		m.logger.Error("snapshot not saved", "error", err)
		return
	}
	last.Trouble = ""
	if saved {
		last.Saved = time.Now()
	}
}

// saveSnapshot writes one file, whole or not at all, unless the last one still says all there is.
func (m *Member) saveSnapshot(state *fsm.State, now time.Time) (saved bool, err error) {
	last := m.schedule.saved
	if last != nil && last.Index == state.Index && last.Generation == state.Generation {
		return false, nil
	}
	if err := os.MkdirAll(m.config.SnapshotDir, 0o700); err != nil {
		return false, fmt.Errorf("cannot make the snapshot folder: %w", err)
	}
	var encoded bytes.Buffer
	if err := state.Encode(&encoded); err != nil {
		return false, err
	}
	name := fmt.Sprintf("stead-%.8s-%d-%d-%s.snapshot", state.Cluster, state.Generation, state.Number, now.UTC().Format("20060102T150405Z"))
	if err := durable.WriteFile(filepath.Join(m.config.SnapshotDir, name), encoded.Bytes()); err != nil {
		return false, err
	}
	m.schedule.saved = state
	m.logger.Debug("snapshot saved", "file", name, "bytes", encoded.Len())
	return true, m.pruneSnapshots(state.Cluster, name)
}

// pruneSnapshots removes the oldest files beyond those that stay, never the fresh one. Which is older the
// ring says before the clock does: that may have been wrong. Files of other clusters, or of other names,
// are nobody's to remove here.
func (m *Member) pruneSnapshots(cluster api.ClusterID, fresh string) error {
	entries, err := os.ReadDir(m.config.SnapshotDir)
	if err != nil {
		return fmt.Errorf("cannot list the snapshot folder: %w", err)
	}
	var older []string
	for _, entry := range entries {
		parts := savedName.FindStringSubmatch(entry.Name())
		if parts != nil && strings.HasPrefix(string(cluster), parts[1]) && entry.Name() != fresh {
			older = append(older, entry.Name())
		}
	}
	slices.SortFunc(older, compareSaved)
	for _, name := range older[:max(0, len(older)+1-m.config.SnapshotKeep)] {
		if err := os.Remove(filepath.Join(m.config.SnapshotDir, name)); err != nil {
			return fmt.Errorf("cannot remove an old snapshot: %w", err)
		}
	}
	return nil
}

// compareSaved orders saved files by generation, ring, and time.
func compareSaved(a, b string) int {
	one, two := savedName.FindStringSubmatch(a), savedName.FindStringSubmatch(b)
	return cmp.Or(compareNumbers(one[2], two[2]), compareNumbers(one[3], two[3]), strings.Compare(one[4], two[4]))
}

// compareNumbers compares decimal numbers without leading zeros, however long.
func compareNumbers(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}
