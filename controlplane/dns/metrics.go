package dns

import (
	mdns "github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
)

// counted are the types with a label of their own: what is asked for is the askers' choice, and must not
// make labels without end.
var counted = map[uint16]bool{
	mdns.TypeA: true, mdns.TypeAAAA: true, mdns.TypeSRV: true, mdns.TypeSOA: true, mdns.TypeNS: true,
	mdns.TypeANY: true, mdns.TypeTXT: true, mdns.TypeHTTPS: true, mdns.TypeAXFR: true,
}

// metrics are what a server tells of itself.
type metrics struct {
	queries  *prometheus.CounterVec
	failOpen prometheus.GaugeFunc
}

func newMetrics(s *Server) *metrics {
	return &metrics{
		queries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stead_dns_queries_total", Help: "DNS queries by transport, type and response code.",
		}, []string{"transport", "type", "rcode"}),
		failOpen: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "stead_dns_fail_open", Help: "1 while DNS answers all proxies, for fewer than half of them beat.",
		}, func() float64 {
			if s.zone.Load().failOpen {
				return 1
			}
			return 0
		}),
	}
}

// Collectors are for the member's registry.
func (s *Server) Collectors() []prometheus.Collector {
	return []prometheus.Collector{s.metrics.queries, s.metrics.failOpen}
}

func (m *metrics) count(transport string, answer reply) {
	m.queries.WithLabelValues(transport, kindName(answer.kind), rcodeName(answer.rcode)).Inc()
}

func kindName(kind uint16) string {
	switch {
	case kind == 0:
		return "none"
	case counted[kind]:
		return mdns.TypeToString[kind]
	default:
		return "other"
	}
}

func rcodeName(rcode int) string {
	switch rcode {
	case rcodeDropped:
		return "dropped"
	case mdns.RcodeBadVers:
		return "BADVERS" // the table knows the code by its other name, BADSIG
	default:
		return mdns.RcodeToString[rcode]
	}
}
