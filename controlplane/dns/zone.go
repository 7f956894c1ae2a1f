package dns

import (
	"net"
	"net/netip"
	"strconv"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/stead-io/stead/api"
)

// Names below the zone that are no proxy's.
const (
	serviceLabels = "_http._tcp."
	serversLabel  = "ns"
)

// The SOA's times for secondaries, which there are none of: what RFC 1912 advises.
const (
	soaRefresh = 20 * time.Minute
	soaRetry   = 2 * time.Minute
	soaExpire  = 14 * 24 * time.Hour
)

// SRV weight and priority are the same for all: who weighs nothing is hardly ever taken.
const srvWeight = 1

// zone is one roster made into records. It is never changed.
type zone struct {
	apex     string // absolute, in lower case
	ttl      uint32 // seconds
	known    bool   // a roster is: without one nothing is known of any name
	failOpen bool
	soa      *mdns.SOA
	names    map[string]owner // canonical names; those with nothing but names below are there too
}

// owner is what stands at one name.
type owner map[uint16][]mdns.RR

// newZone makes the records of a roster; nil: none is known yet.
func newZone(settings Settings, roster *api.Roster, servers []Nameserver) *zone {
	z := &zone{apex: canonical(settings.Zone), ttl: uint32(settings.TTL / time.Second), names: make(map[string]owner)}
	if roster == nil {
		return z
	}
	z.known = true
	z.at(z.apex)
	z.at("_tcp." + z.apex)
	z.at(serviceLabels + z.apex)
	primary := z.addServers(servers)
	z.addAuthority(primary, roster.Mark)
	labels := z.addProxies(roster.Proxies)
	var chosen []api.RosterItem
	chosen, z.failOpen = choose(roster.Proxies, settings.Mode)
	z.publish(chosen, labels)
	return z
}

// at finds the records of a name, making room for them.
func (z *zone) at(name string) owner {
	known := z.names[name]
	if known == nil {
		known = make(owner)
		z.names[name] = known
	}
	return known
}

func (z *zone) taken(name string) bool {
	return name == serversLabel || z.names[name+"."+z.apex] != nil
}

func (z *zone) add(record mdns.RR) {
	header := record.Header()
	header.Class, header.Ttl = mdns.ClassINET, z.ttl
	at := z.at(header.Name)
	at[header.Rrtype] = append(at[header.Rrtype], record)
}

// addAddress adds an A or AAAA record.
func (z *zone) addAddress(name string, ip netip.Addr) {
	if ip.Is4() {
		z.add(&mdns.A{Hdr: mdns.RR_Header{Name: name, Rrtype: mdns.TypeA}, A: ip.AsSlice()})
		return
	}
	z.add(&mdns.AAAA{Hdr: mdns.RR_Header{Name: name, Rrtype: mdns.TypeAAAA}, AAAA: ip.AsSlice()})
}

// addServers adds the NS set with the servers' addresses, and returns the first one's name.
func (z *zone) addServers(servers []Nameserver) (primary string) {
	below := serversLabel + "." + z.apex
	z.at(below)
	for _, server := range servers {
		name := canonical(server.Host)
		if ip, err := netip.ParseAddr(server.Host); err == nil {
			name = label(server.Name, func(name string) bool { return z.names[name+"."+below] != nil }) + "." + below
			z.addAddress(name, ip.Unmap())
		}
		z.add(&mdns.NS{Hdr: mdns.RR_Header{Name: z.apex, Rrtype: mdns.TypeNS}, Ns: name})
		if primary == "" {
			primary = name
		}
	}
	if primary == "" {
		primary = below
	}
	return primary
}

// addAuthority adds the SOA. Its serial comes from the roster's mark, so that all members tell the same.
func (z *zone) addAuthority(primary string, mark api.RosterMark) {
	z.soa = &mdns.SOA{
		Hdr: mdns.RR_Header{Name: z.apex, Rrtype: mdns.TypeSOA},
		Ns:  primary, Mbox: "hostmaster." + z.apex,
		Serial:  uint32(mark.Term<<16 + mark.Number),
		Refresh: uint32(soaRefresh / time.Second), Retry: uint32(soaRetry / time.Second),
		Expire: uint32(soaExpire / time.Second), Minttl: z.ttl,
	}
	z.add(z.soa)
}

// addProxies gives every proxy that has an IP address its own name, whatever its status: who was told the
// name may still ask for it. It returns the names.
func (z *zone) addProxies(proxies []api.RosterItem) map[api.ProxyID]string {
	names := make(map[api.ProxyID]string, len(proxies))
	for _, proxy := range proxies {
		if ip, _, ok := addressOf(proxy); ok {
			names[proxy.ID] = label(string(proxy.ID), z.taken) + "." + z.apex
			z.addAddress(names[proxy.ID], ip)
		}
	}
	return names
}

// publish answers the chosen proxies at the apex and as a service. One that advertises a name in place
// of an address is in the service alone: an apex can be no alias (RFC 1034, 3.6.2), and nobody can be
// an alias of two.
func (z *zone) publish(chosen []api.RosterItem, names map[api.ProxyID]string) {
	there := make(map[netip.Addr]bool)
	for _, proxy := range chosen {
		host, port, err := splitAddress(proxy.Address)
		if err != nil {
			continue
		}
		target := canonical(host)
		if ip, _, ok := addressOf(proxy); ok {
			target = names[proxy.ID]
			if !there[ip] {
				there[ip] = true
				z.addAddress(z.apex, ip)
			}
		}
		for _, name := range []string{serviceLabels + z.apex, z.apex} {
			z.add(&mdns.SRV{
				Hdr:    mdns.RR_Header{Name: name, Rrtype: mdns.TypeSRV},
				Weight: srvWeight, Port: port, Target: target,
			})
		}
	}
}

// addressOf is the IP address and port of a proxy that advertises one.
func addressOf(proxy api.RosterItem) (ip netip.Addr, port uint16, ok bool) {
	at, err := netip.ParseAddrPort(proxy.Address)
	return at.Addr().Unmap().WithZone(""), at.Port(), err == nil
}

func splitAddress(address string) (host string, port uint16, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	number, err := strconv.ParseUint(text, 10, 16)
	return host, uint16(number), err
}
