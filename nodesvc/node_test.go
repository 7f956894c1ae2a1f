package nodesvc

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stead-io/stead/api"
)

// serving reports what the guard says, served or which problem.
func serving(t *testing.T, node *Node) string {
	t.Helper()
	got := ask(t.Context(), node.Guard(http.HandlerFunc(echoRoute)), "Stead-Key: acme")
	if got.Code == 200 {
		return "served"
	}
	_, code, _ := strings.Cut(got.Body.String(), `"code":"`)
	code, _, _ = strings.Cut(code, `"`)
	return code
}

func TestNodeServesByTheKeptRing(t *testing.T) {
	run := func(onDown api.OnDown, want string) {
		synctest.Test(t, func(t *testing.T) {
			config := testConfig(newFakeControl(testView(t, 7, 5, "n0")))
			config.DataDir = t.TempDir()
			config.OnDown = onDown
			first := openNode(t, config)
			time.Sleep(time.Second)
			closeNode(t, first)

			away := newFakeControl(nil)
			config.ControlPlane = away
			node := openNode(t, config)
			defer closeNode(t, node)
			synctest.Wait()
			if got := node.Ready(); got == nil || got.Code != api.CodeNoRing {
				t.Errorf("%s: at first: %v", onDown, got)
			}
			time.Sleep(2 * keptViewAfter)
			if got := serving(t, node); got != want {
				t.Errorf("%s: with the control plane away: %s, want %s", onDown, got, want)
			}
			if got := away.history(); got != "" {
				t.Errorf("%s: it asked for %s", onDown, got)
			}
			away.publish(testView(t, 8, 6, "n1"))
			time.Sleep(time.Second)
			if got := serving(t, node); got != "not_owner" || away.count("register") != 1 {
				t.Errorf("%s: when the control plane is back: %s after %s", onDown, got, away.history())
			}
		})
	}
	run(api.OnDownWait, "served")
	run(api.OnDownReset, "no_ring")
}

func TestConfigIsChecked(t *testing.T) {
	run := func(want string, change func(*Config)) {
		t.Helper()
		config := testConfig(newFakeControl(nil))
		change(&config)
		if node, err := Open(config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
			if node != nil {
				closeNode(t, node)
			}
		}
	}
	run("node id", func(c *Config) { c.ID = "" })
	run("address", func(c *Config) { c.Advertise = "nowhere" })
	run("ttl", func(c *Config) { c.TTL = time.Millisecond })
	run("on_down", func(c *Config) { c.OnDown = "maybe" })
	run("weight", func(c *Config) { c.Weight = 0 })
	run("no control-plane member", func(c *Config) { c.ControlPlane = nil })
	run("neither host:port", func(c *Config) { c.ControlPlane, c.Control = nil, []string{"ftp://x"} })
	run("park wait", func(c *Config) { c.ParkWait = -1 })
	run("parked", func(c *Config) { c.ParkedMax = -1 })
	run("cannot open data folder", func(c *Config) { c.DataDir = "/dev/null/x" })
}

// The server ends connections that send no request, and refuses headers without bounds.
func TestServerLimits(t *testing.T) {
	node := openNode(t, testConfig(newFakeControl(nil)))
	defer closeNode(t, node)
	server := httptest.NewUnstartedServer(nil)
	server.Config = NewServer(node.Guard(http.HandlerFunc(echoRoute)), node.logger).Server
	server.Start()
	defer server.Close()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Long", strings.Repeat("x", 2*headerSizeMax))
	answer, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("headers of %d bytes: %s", 2*headerSizeMax, answer.Status)
	}
	if server.Config.ReadHeaderTimeout == 0 || server.Config.IdleTimeout == 0 {
		t.Error("a silent connection would stay for ever")
	}
}
