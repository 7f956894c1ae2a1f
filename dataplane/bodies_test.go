package dataplane

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/dataplane/forward"
)

// TestBodiesWithoutRoom: while others hold all there is, a long body passes unless the key is in it.
func TestBodiesWithoutRoom(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	view := ruled(t, api.NoKeyReject, []string{"path:/kv/{key}", "json:/id"}, up("n1", node.address()))
	proxy, _ := start(t, view, func(c *Config) { c.BodiesHeld = 0 })
	post := func(target string, size int) string {
		body := `{"id":"a","pad":"` + strings.Repeat("x", size) + `"}`
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", target, len(body), body)
	}
	served(t, proxy, post("/kv/a", forward.ReplayMax/2), "ok")
	served(t, proxy, post("/x", forward.LoadMax/2), "ok")
	refused(t, proxy, post("/x", 2*forward.LoadMax), 503, string(api.CodeOverloaded))
	if proxy.bodies.Taken() != 0 {
		t.Errorf("%d octets stay taken", proxy.bodies.Taken())
	}
}
