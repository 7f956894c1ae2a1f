package dataplane

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
)

// chain starts proxies that have the next one for their node each, and the last one the node at an address; without
// one it is the first proxy's.
func chain(t *testing.T, length int, end string) (proxies []*Proxy) {
	t.Helper()
	var fakes []*fakeControl
	for range length {
		proxy, fake := start(t, ringOf(t, 1, 1), defaults)
		proxies, fakes = append(proxies, proxy), append(fakes, fake)
	}
	if end == "" {
		end = proxies[0].Addr()
	}
	for i, fake := range fakes {
		address := end
		if i+1 < length {
			address = proxies[i+1].Addr()
		}
		fake.publish(ringOf(t, 2, 1, up("n1", address)))
		until(t, "the ring", func() bool { return proxies[i].routes.Table().View.Table.Version.Number == 2 })
	}
	return proxies
}

// TestLoop: a request that comes back to a proxy ends there, with or without a body, and is not taken for one that
// another proxy passed on.
func TestLoop(t *testing.T) {
	t.Parallel()
	for _, length := range []int{1, 3} {
		proxies := chain(t, length, "")
		for i, octets := range []string{
			"GET /kv/a HTTP/1.1\r\nHost: h\r\n\r\n",
			"GET /kv/a HTTP/1.0\r\nVia: 1.1 stead, 1.1 stead-0123456789abcdef\r\n\r\n",
			"PUT /kv/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
			"GET /kv/a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		} {
			response, body := ask(t, proxies[0], octets)
			if response.StatusCode != 508 || !strings.Contains(body, `"code":"loop_detected"`) || response.Header.Get("Content-Type") != api.ProblemType {
				t.Errorf("a loop of %d answers %q with %s %s", length, octets, response.Status, body)
			}
			for _, want := range []string{`requests_total{code="5xx",problem="loop_detected"} `, `requests_total{code="5xx",problem=""} `} {
				want = fmt.Sprint("stead_proxy_", want, i+1, "\n")
				until(t, want, func() bool {
					_, metrics := get(t, proxies[0], "/metrics")
					return strings.Contains(metrics, want)
				})
			}
		}
	}
}

// TestProxiesInARow: a request goes through several proxies, and none of them takes another for itself.
func TestProxiesInARow(t *testing.T) {
	t.Parallel()
	node := startNode(t, answer(okAnswer))
	proxies := chain(t, 3, node.address())
	for range 2 {
		served(t, proxies[0], "GET /kv/a HTTP/1.1\r\nHost: h\r\nVia: 1.1 stead\r\n\r\n", "ok")
		if raw := node.next(t).raw; len(aMark.FindAllString(raw, -1)) != 3 {
			t.Errorf("of three proxies the node was told %q", raw)
		}
	}
	refused(t, proxies[0], "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 400, "no_key")
}
