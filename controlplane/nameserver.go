package controlplane

import (
	"net"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stead-io/stead/controlplane/dns"
)

// openDNS opens the DNS sockets if the configuration asks for them.
func (m *Member) openDNS() (err error) {
	if m.config.DNS.Listen == "" {
		return nil
	}
	m.dns, err = dns.Listen(dns.Config{Settings: m.config.DNS, Source: m, Logger: m.logger})
	return err
}

func (m *Member) collectors() []prometheus.Collector {
	all := []prometheus.Collector{m.webhooks}
	if m.dns != nil {
		all = append(all, m.dns.Collectors()...)
	}
	return all
}

// DNSAddr is the host:port at which this member answers DNS, "" if it does not.
func (m *Member) DNSAddr() string {
	if m.dns == nil {
		return ""
	}
	return m.dns.Addr()
}

// dnsHost is the host that a name server's record can lead to: the one listened on, or where that stands
// for every address of the machine, the one others reach the API at.
func (m *Member) dnsHost() string {
	host, _, err := net.SplitHostPort(m.DNSAddr())
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		host, _, _ = net.SplitHostPort(firstOf(m.config.Advertise, m.APIAddr()))
	}
	return host
}

// Nameservers lists the members that answer DNS, by name.
func (m *Member) Nameservers() []dns.Nameserver {
	var servers []dns.Nameserver
	for _, member := range m.Members() {
		if info, known := m.directory.Info(member.ID); known && info.DNS != "" {
			servers = append(servers, dns.Nameserver{Name: info.Name, Host: info.DNS})
		}
	}
	slices.SortFunc(servers, func(a, b dns.Nameserver) int { return strings.Compare(a.Name, b.Name) })
	return servers
}
