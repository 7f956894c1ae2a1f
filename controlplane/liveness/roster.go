package liveness

import (
	"slices"
	"strings"
	"time"

	"github.com/stead-io/stead/api"
)

// RosterRipeAfter is how long a leader that inherited no roster listens before it makes one: every
// proxy that lives has then had twice the time that it needs to say so.
const RosterRipeAfter = 2 * api.ProxyDownAfter

// Inherit begins with the fleet as the leader before told it. Who was up has RosterRipeAfter to beat;
// who was down stays so until it does.
func (f *Fleet) Inherit(known []api.RosterItem, now time.Time) {
	for _, item := range known[:min(len(known), ProxiesMax)] {
		record := &proxyRecord{
			beat:  api.ProxyBeat{Address: item.Address, Leaving: item.Status == api.ProxyDraining},
			heard: now.Add(RosterRipeAfter - api.ProxyDownAfter), inherited: true,
		}
		if item.Status == api.ProxyDown {
			record.heard = now.Add(-api.ProxyDownAfter - 1)
		}
		f.proxies[item.ID] = record
	}
	f.moved = true
}

// Restart lets the silence of those that are up count from now on: the listener itself was away.
func (f *Fleet) Restart(now time.Time) {
	for _, proxy := range f.proxies {
		if proxy.told == api.ProxyUp {
			proxy.heard = now
		}
	}
}

// News reports whether the roster is another than when News was last asked.
func (f *Fleet) News(now time.Time) bool {
	news := f.moved
	f.moved = false
	for _, proxy := range f.proxies {
		if status := proxy.status(now); status != proxy.told {
			proxy.told, news = status, true
		}
	}
	return news
}

// Roster is the fleet as clients are to find it, by id.
func (f *Fleet) Roster(now time.Time) []api.RosterItem {
	roster := make([]api.RosterItem, 0, len(f.proxies))
	for id, proxy := range f.counted(now) {
		roster = append(roster, api.RosterItem{ID: id, Address: proxy.beat.Address, Status: proxy.status(now)})
	}
	slices.SortFunc(roster, func(a, b api.RosterItem) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return roster
}
