package dataplane

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/dataplane/forward"
	"github.com/stead-io/stead/dataplane/routing"
)

// nodeBounds are the upper bounds of the durations told apart by node: fewer than those of all requests, for
// there are as many series as nodes.
var nodeBounds = [...]time.Duration{
	time.Millisecond, 5 * time.Millisecond, 25 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond, 2500 * time.Millisecond, 10 * time.Second,
}

// nodeCounts count what became of requests at one node.
type nodeCounts struct {
	answers   [len(classes)]atomic.Uint64 // by the first digit of their status; 0: none came
	moved     atomic.Uint64
	retries   atomic.Uint64
	inFlight  atomic.Int64
	transport forward.Stats

	durations [len(nodeBounds) + 1]atomic.Uint64
	total     atomic.Int64 // of the durations, nanoseconds
}

// answered counts a request that was sent; status is 0 where no answer came.
func (c *nodeCounts) answered(status int) {
	class := status / 100
	if class >= len(c.answers) {
		class = 0
	}
	c.answers[class].Add(1)
}

// observe counts how long a request took that the node answered.
func (c *nodeCounts) observe(took time.Duration) {
	i := 0
	for i < len(nodeBounds) && took > nodeBounds[i] {
		i++
	}
	c.durations[i].Add(1)
	c.total.Add(int64(took))
}

// nodeMetrics are the counts of the nodes in the ring in force. One that leaves the ring is forgotten.
type nodeMetrics struct {
	table func() *routing.Table
	known atomic.Pointer[map[api.NodeID]*nodeCounts]
	mu    sync.Mutex // serializes changes of what is known
}

func newNodeMetrics(table func() *routing.Table) *nodeMetrics {
	m := &nodeMetrics{table: table}
	m.known.Store(&map[api.NodeID]*nodeCounts{})
	return m
}

// of finds the counts of a node.
func (m *nodeMetrics) of(id api.NodeID) *nodeCounts {
	if counts := (*m.known.Load())[id]; counts != nil {
		return counts
	}
	return m.renew(id)[id]
}

// renew makes what is known the nodes in the ring, and those named besides.
func (m *nodeMetrics) renew(besides ...api.NodeID) map[api.NodeID]*nodeCounts {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := *m.known.Load()
	fresh := make(map[api.NodeID]*nodeCounts, len(old))
	if table := m.table(); table != nil {
		for _, node := range table.View.Table.Nodes {
			fresh[node.ID] = old[node.ID]
		}
	}
	delete(fresh, "") // a place in the table that nobody has
	for _, id := range besides {
		fresh[id] = old[id]
	}
	for id, counts := range fresh {
		if counts == nil {
			fresh[id] = new(nodeCounts)
		}
	}
	if !maps.Equal(old, fresh) {
		m.known.Store(&fresh)
	}
	return fresh
}

// What there is by node.
var (
	nodeRequests = describe("requests_total", "Requests sent to a node, by class of its answer; none: no answer came.", "code")
	nodeSeconds  = describe("request_duration_seconds", "Time from a request's head to the end of the node's answer.")
	nodeInFlight = describe("requests_in_flight", "Requests under way at a node.")
	nodeMoved    = describe("moved_total", "Answers of a node that it does not hold the slot (421).")
	nodeRetries  = describe("retries_total", "Requests sent again because of a node: it was not reached, closed the connection, or does not hold the slot.")
	nodeConnects = describe("connects_total", "Connections made to a node, shared ones too.")
	nodeFailures = describe("connect_failures_total", "Connections to a node that could not be made.")
	nodeReuses   = describe("reuses_total", "Requests sent to a node on a connection used before, or shared.")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("stead_proxy_node_"+name, help, append([]string{"node"}, labels...), nil)
}

// Describe lists what Collect may collect.
func (m *nodeMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{nodeRequests, nodeSeconds, nodeInFlight, nodeMoved, nodeRetries, nodeConnects, nodeFailures, nodeReuses} {
		to <- desc
	}
}

// Collect collects the counts of every node in the ring.
func (m *nodeMetrics) Collect(to chan<- prometheus.Metric) {
	for id, counts := range m.renew() {
		counts.collect(to, string(id))
	}
}

func (c *nodeCounts) collect(to chan<- prometheus.Metric, node string) {
	counter := func(desc *prometheus.Desc, value uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(value), append([]string{node}, labels...)...)
	}
	counter(nodeRequests, c.answers[0].Load(), "none")
	for class := 2; class < len(c.answers); class++ {
		counter(nodeRequests, c.answers[class].Load(), classes[class])
	}
	counter(nodeMoved, c.moved.Load())
	counter(nodeRetries, c.retries.Load()+c.transport.Retries.Load())
	counter(nodeConnects, c.transport.Connects.Load())
	counter(nodeFailures, c.transport.ConnectFailures.Load())
	counter(nodeReuses, c.transport.Reuses.Load())
	to <- prometheus.MustNewConstMetric(nodeInFlight, prometheus.GaugeValue, float64(c.inFlight.Load()), node)

	buckets, count := make(map[float64]uint64, len(nodeBounds)), uint64(0)
	for i, bound := range nodeBounds {
		count += c.durations[i].Load()
		buckets[bound.Seconds()] = count
	}
	count += c.durations[len(nodeBounds)].Load()
	to <- prometheus.MustNewConstHistogram(nodeSeconds, count, time.Duration(c.total.Load()).Seconds(), buckets, node)
}

// visit is a request at its node, until it goes on to another or ends.
func (x *exchange) visit() {
	at := x.proxy.metrics.nodes.of(x.node.ID)
	if x.at != at {
		x.depart()
		x.at = at
		at.inFlight.Add(1)
	}
	x.request.Stats = &at.transport
}

func (x *exchange) depart() {
	if x.at != nil {
		x.at.inFlight.Add(-1)
		x.at = nil
	}
}
