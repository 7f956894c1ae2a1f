package liveness

import (
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/stead-io/stead/api"
)

// How long a proxy that is gone stays listed, and how many are listed at most.
const (
	ProxyForgottenAfter = 10 * time.Minute
	ProxiesMax          = 10_000
)

// Fleet remembers the proxies that beat. It is not safe for concurrent use.
type Fleet struct {
	proxies map[api.ProxyID]*proxyRecord
	moved   bool // one came, went or has another address since News was asked
}

type proxyRecord struct {
	beat  api.ProxyBeat
	heard time.Time
	// inherited: known from the leader before, not heard by this one.
	inherited bool
	told      string // its status when News was last asked
}

// NewFleet begins empty; the proxies fill it within a beat.
func NewFleet() *Fleet { return &Fleet{proxies: make(map[api.ProxyID]*proxyRecord)} }

// Heard notes a beat, or refuses it: when the list is full, and while another proxy beats under the same
// id. Two that share one would take turns in DNS, and nobody would know of either's end.
func (f *Fleet) Heard(id api.ProxyID, beat api.ProxyBeat, now time.Time) *api.Problem {
	record, known := f.proxies[id]
	if !known && len(f.proxies) >= ProxiesMax {
		return api.NewProblem(api.CodeOverloaded, "%d proxies are listed already", ProxiesMax)
	}
	if known && record.elsewhere(beat.Address, now) {
		return api.NewProblem(api.CodeProxyIDInUse, "proxy %s beats from %s too", id, record.beat.Address).InField("address").
			WithNext("give each proxy an --id of its own")
	}
	if !known {
		record = &proxyRecord{}
		f.proxies[id] = record
	}
	f.moved = f.moved || record.beat.Address != beat.Address
	record.beat, record.heard, record.inherited = beat, now, false
	return nil
}

// elsewhere reports whether a proxy lives at another address than this. One that leaves, or is known by
// hearsay only, makes way at once; one that was killed, when it counts as down.
func (p *proxyRecord) elsewhere(address string, now time.Time) bool {
	return p.beat.Address != address && !p.inherited && p.status(now) == api.ProxyUp
}

// Forget drops the proxies that have long been gone.
func (f *Fleet) Forget(now time.Time) {
	for id, proxy := range f.proxies {
		if now.Sub(proxy.heard) > ProxyForgottenAfter {
			delete(f.proxies, id)
			f.moved = true
		}
	}
}

// List shows by id the proxies that the roster has, beside the ring version that stands. One that is
// inherited is there once it is down: until then it has time to say by which version it routes.
func (f *Fleet) List(now time.Time, current api.Version) []api.Proxy {
	list := make([]api.Proxy, 0, len(f.proxies))
	for id, proxy := range f.counted(now) {
		if proxy.inherited && proxy.status(now) != api.ProxyDown {
			continue
		}
		shown := api.Proxy{
			ID: id, Address: proxy.beat.Address, Admin: proxy.beat.Admin,
			Version: proxy.beat.Version, Nack: proxy.beat.Nack,
			Status: proxy.status(now), LastBeat: api.Duration(now.Sub(proxy.heard).Round(time.Millisecond)),
		}
		if shown.Status != api.ProxyDown {
			shown.Troubles = proxy.beat.Troubles
		}
		if shown.Version.Generation == current.Generation && shown.Version.Number < current.Number {
			shown.Lag = current.Number - shown.Version.Number
		}
		list = append(list, shown)
	}
	slices.SortFunc(list, func(a, b api.Proxy) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return list
}

// counted are the proxies that are there or should be. Left out is who has gone on purpose, and who is
// silent while another proxy lives at its address: a restart under another id.
func (f *Fleet) counted(now time.Time) iter.Seq2[api.ProxyID, *proxyRecord] {
	lives := make(map[string]bool)
	for _, proxy := range f.proxies {
		if proxy.status(now) != api.ProxyDown {
			lives[proxy.beat.Address] = true
		}
	}
	return func(yield func(api.ProxyID, *proxyRecord) bool) {
		for id, proxy := range f.proxies {
			gone := proxy.status(now) == api.ProxyDown && (proxy.beat.Leaving || lives[proxy.beat.Address])
			if !gone && !yield(id, proxy) {
				return
			}
		}
	}
}

func (p *proxyRecord) status(now time.Time) string {
	switch {
	case now.Sub(p.heard) > api.ProxyDownAfter:
		return api.ProxyDown
	case p.beat.Leaving:
		return api.ProxyDraining
	default:
		return api.ProxyUp
	}
}
