package peers

import (
	"slices"
	"strings"
	"time"

	"github.com/stead-io/stead/api"
)

// LastHeard is when a member last spoke for itself; zero: not since this process started.
func (d *Directory) LastHeard(id api.MemberID) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.known[id]; known != nil {
		return known.heard
	}
	return time.Time{}
}

// Empty lists the live processes that have no log, by id: those that wait to be taken in.
func (d *Directory) Empty(now time.Time) []api.PeerInfo {
	d.mu.Lock()
	defer d.mu.Unlock()
	var empty []api.PeerInfo
	for _, known := range d.known {
		if now.Sub(known.heard) <= AliveWithin && !known.info.HasState {
			empty = append(empty, known.info)
		}
	}
	slices.SortFunc(empty, func(a, b api.PeerInfo) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return empty
}

// Dismissed finds a member that tells of a committed configuration later than listedAt, the last known to
// list this member, which does not list it: then it was removed, whoever tells. Only an id that never
// comes back makes that safe to say.
func (d *Directory) Dismissed(listedAt uint64, now time.Time) (by api.PeerInfo, dismissed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if listedAt == 0 {
		return by, false
	}
	for _, known := range d.known {
		told := known.info
		if now.Sub(known.heard) <= AliveWithin && told.Configured > listedAt && !slices.Contains(told.Members, d.self.ID) {
			return told, true
		}
	}
	return by, false
}
