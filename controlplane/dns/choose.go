package dns

import "github.com/stead-io/stead/api"

// choose finds the proxies to answer. One that drains never is; beyond that see Mode. open reports
// whether the choice failed open.
func choose(roster []api.RosterItem, mode Mode) (chosen []api.RosterItem, open bool) {
	var staying, up []api.RosterItem
	for _, proxy := range roster {
		if proxy.Status == api.ProxyDraining {
			continue
		}
		staying = append(staying, proxy)
		if proxy.Status == api.ProxyUp {
			up = append(up, proxy)
		}
	}
	switch {
	case mode == ModeAll:
		return staying, false
	case 2*len(up) < len(staying):
		return staying, true
	default:
		return up, false
	}
}
