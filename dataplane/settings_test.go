package dataplane

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestReload: what may change holds for the next request, on connections that were there too; the rest stays.
func TestReload(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	node := startNode(t, func(conn net.Conn, _ int, request received) bool {
		if strings.HasPrefix(request.raw, "GET /kv/slow") {
			<-release
		}
		_, err := io.WriteString(conn, okAnswer)
		return err == nil
	})
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), func(c *Config) { c.Origin = Origin{File: "first"} })
	conn := dial(t, proxy)
	answered := func(conn net.Conn, octets string, want int) {
		t.Helper()
		_, _ = io.WriteString(conn, octets)
		if response, body := readAnswer(t, bufio.NewReader(conn)); response.StatusCode != want {
			t.Errorf("got %s %s, want %d", response.Status, body, want)
		}
	}
	const put = "PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
	answered(conn, put, 200)
	next := proxy.config
	next.Deadline, next.BodyMax, next.Connections, next.Listen = 50*time.Millisecond, 4, 2, "127.0.0.1:1"
	next.Origin = Origin{File: "second", Waiting: []string{"listen"}}
	if err := proxy.Reload(next); err != nil {
		t.Fatal(err)
	}
	answered(conn, "GET /kv/slow HTTP/1.1\r\nHost: h\r\n\r\n", 504)
	answered(dial(t, proxy), put, 413)
	if proxy.settings().Listen != proxy.config.Listen || shownConfig(t, proxy).Waiting[0] != "listen" {
		t.Error("the address changed")
	}

	until(t, "the second connection to be forgotten", func() bool { return proxy.server.Clients() == 1 })
	answered(dial(t, proxy), getA, 200)
	if got, closed := listen(t, dial(t, proxy)); !strings.HasPrefix(got, "HTTP/1.1 503") || !closed {
		t.Errorf("a connection over the new limit got %q, closed %v", got, closed)
	}
	next.Connections = 3
	if err := proxy.Reload(next); err != nil {
		t.Fatal(err)
	}
	answered(dial(t, proxy), getA, 200)
}

// TestReloadConnectionsPerAddress: the limit holds for clients who come after it.
func TestReloadConnectionsPerAddress(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())))
	first := dial(t, proxy)
	answered := func(conn net.Conn, want string) {
		t.Helper()
		_, _ = io.WriteString(conn, getA)
		if response, body := readAnswer(t, bufio.NewReader(conn)); response.Status != want {
			t.Errorf("got %s %s, want %s", response.Status, body, want)
		}
	}
	answered(first, "200 OK")
	next := proxy.config
	next.ConnectionsPerAddress = 1
	if err := proxy.Reload(next); err != nil {
		t.Fatal(err)
	}
	second := dial(t, proxy)
	answered(second, "200 OK")
	answered(first, "200 OK")
	if got, closed := talk(t, proxy, getA); !strings.HasPrefix(got, "HTTP/1.1 503 ") || !closed {
		t.Errorf("a third got %q, closed %v", got, closed)
	}
}

// TestReloadRefused: what cannot stand changes nothing, and people can see why.
func TestReloadRefused(t *testing.T) {
	proxy, _ := start(t, ringOf(t, 1, 1), func(c *Config) {
		c.Origin = Origin{File: "proxy.conf", Settings: []Setting{{"deadline", "10s", "default"}}}
	})
	before := shownConfig(t, proxy)
	if before.File != "proxy.conf" || len(before.Settings) != 1 || before.Refused != "" || time.Since(before.Loaded) > patience {
		t.Errorf("it shows %+v", before)
	}
	metric(t, proxy, "stead_proxy_config_reload_refused 0")
	next := proxy.config
	next.BodyMax, next.Deadline = 7, -1
	err := proxy.Reload(next)
	if err == nil || proxy.settings() != &proxy.config {
		t.Fatalf("got %v, and %+v is in force", err, proxy.settings())
	}
	proxy.ReloadRefused(err)
	if after := shownConfig(t, proxy); !strings.Contains(after.Refused, "deadline") || !after.Loaded.Equal(before.Loaded) {
		t.Errorf("it shows %+v", after)
	}
	metric(t, proxy, "stead_proxy_config_reload_refused 1")
	if err := proxy.Reload(proxy.config); err != nil {
		t.Fatal(err)
	}
	if after := shownConfig(t, proxy); after.Refused != "" || after.Loaded.Equal(before.Loaded) {
		t.Errorf("it shows %+v", after)
	}
	metric(t, proxy, "stead_proxy_config_reload_refused 0")
}

func shownConfig(t *testing.T, proxy *Proxy) (shown Configuration) {
	t.Helper()
	status, body := get(t, proxy, "/v1/config")
	if err := json.Unmarshal([]byte(body), &shown); err != nil || status != 200 {
		t.Fatalf("%d %s: %v", status, body, err)
	}
	return shown
}

// metric asserts a line of /metrics.
func metric(t *testing.T, proxy *Proxy, line string) {
	t.Helper()
	if _, body := get(t, proxy, "/metrics"); !strings.Contains(body, "\n"+line+"\n") {
		t.Errorf("the metrics lack %q", line)
	}
}
