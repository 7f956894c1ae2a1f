package dataplane

import (
	"net"
	"strings"
	"testing"
)

// TestNodeMetrics: what became of requests at each node; a node that leaves the ring is forgotten.
func TestNodeMetrics(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	second := startNode(t, func(conn net.Conn, _ int, request received) bool {
		if strings.Contains(request.raw, "X-Wait") {
			entered <- struct{}{}
			<-leave
		}
		_, err := conn.Write([]byte(okAnswer))
		return err == nil
	})
	first := startNode(t, answer("HTTP/1.1 421 Misdirected Request\r\nStead-Epoch: 9\r\nStead-Owner: n2\r\nContent-Length: 0\r\n\r\n"))
	view := ringOf(t, 1, 5, up("n1", first.address()), up("n2", second.address()), up("n3", "127.0.0.1:1"))
	proxy, fake := start(t, view)
	at := func(node string) string { return "GET /kv/" + keyAt(view, node) + " HTTP/1.1\r\nHost: h\r\n" }
	f := func(wants ...string) {
		t.Helper()
		_, body := get(t, proxy, "/metrics")
		for _, want := range wants {
			if !strings.Contains(body, "\nstead_proxy_node_"+want+"\n") {
				t.Errorf("the metrics lack %s", want)
			}
		}
	}
	f(`requests_total{code="2xx",node="n1"} 0`, `requests_total{code="none",node="n3"} 0`, `requests_in_flight{node="n2"} 0`)
	served(t, proxy, at("n1")+"\r\n", "ok")
	served(t, proxy, at("n2")+"\r\n", "ok")
	refused(t, proxy, at("n3")+"\r\n", 503, "owner_down")
	conn := dial(t, proxy)
	_, _ = conn.Write([]byte(at("n2") + "X-Wait: 1\r\n\r\n"))
	<-entered
	f(`requests_in_flight{node="n2"} 1`, `requests_in_flight{node="n1"} 0`)
	close(leave)
	listen(t, conn)
	until(t, "the end of all requests", func() bool { return proxy.metrics.inFlight.Load() == 0 })
	f(`requests_total{code="4xx",node="n1"} 1`, `moved_total{node="n1"} 1`, `retries_total{node="n1"} 1`, `connects_total{node="n1"} 1`,
		`requests_total{code="2xx",node="n2"} 3`, `connects_total{node="n2"} 1`, `reuses_total{node="n2"} 2`, `requests_in_flight{node="n2"} 0`,
		`request_duration_seconds_count{node="n2"} 3`, `request_duration_seconds_bucket{node="n2",le="10"} 3`, `request_duration_seconds_bucket{node="n2",le="+Inf"} 3`,
		`request_duration_seconds_count{node="n1"} 0`, `requests_in_flight{node="n1"} 0`, `request_duration_seconds_count{node="n3"} 0`)
	if _, body := get(t, proxy, "/metrics"); strings.Contains(body, `requests_total{code="none",node="n3"} 0`) || strings.Contains(body, `connect_failures_total{node="n3"} 0`) {
		t.Error("nobody was seen to fail at n3")
	}

	fake.publish(ringOf(t, 2, 6, up("n2", second.address())))
	until(t, "the next ring", func() bool { return proxy.routes.Table().View.Table.Version.Number == 2 })
	_, body := get(t, proxy, "/metrics")
	if strings.Contains(body, `node="n1"`) || strings.Contains(body, `node="n3"`) || !strings.Contains(body, `requests_total{code="2xx",node="n2"} 3`) {
		t.Errorf("n1 and n3 left, n2 stayed:\n%s", body)
	}
}
