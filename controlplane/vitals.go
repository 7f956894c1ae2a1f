package controlplane

import (
	"time"

	"github.com/stead-io/stead/controlplane/consensus"
	"github.com/stead-io/stead/controlplane/httpapi"
)

// Vitals measures this member's log and disk.
func (m *Member) Vitals(now time.Time) httpapi.Vitals {
	vitals := httpapi.Vitals{LogBytes: consensus.DatabaseSize(m.config.DataDir)}
	vitals.DiskFree, vitals.DiskSize, _ = diskSpace(m.config.DataDir) // zero: this platform does not say
	if replica := m.replica.Load(); replica != nil {
		vitals.CommitIndex, vitals.LastIndex = replica.CommitIndex(), replica.LastIndex()
		vitals.SinceContact = replica.SinceContact(now)
	}
	return vitals
}
