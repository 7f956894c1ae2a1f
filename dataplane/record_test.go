package dataplane

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/dataplane/accesslog"
)

// logged has a proxy write its access log to a file of the test.
func logged(t *testing.T, format accesslog.Format) (path string, edit func(*Config)) {
	path = filepath.Join(t.TempDir(), "access.log")
	return path, func(c *Config) {
		c.AccessLog.Format, c.AccessLog.File = format, path
	}
}

// lines waits for so many lines of a file.
func lines(t *testing.T, path string, count int) (all []string) {
	t.Helper()
	until(t, fmt.Sprintf("%d lines", count), func() bool {
		content, _ := os.ReadFile(path)
		all = strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
		return strings.Count(string(content), "\n") == count
	})
	return all
}

var varying = regexp.MustCompile(`"time":"[^"]*Z"|"duration_seconds":\d+\.\d{6}|"request_id":"[0-9a-f]{32}"|"node":"n[12]"|"retries":(?:[2-9]|[1-9]\d)`)

func TestAccessLogJSON(t *testing.T) {
	t.Parallel()
	second := startNode(t, answer(okAnswer))
	first := startNode(t, func(conn net.Conn, _ int, request received) bool {
		moved := "HTTP/1.1 421 Misdirected Request\r\nStead-Epoch: 9\r\nStead-Owner: n2\r\nContent-Length: 0\r\n\r\n"
		if strings.Contains(request.raw, "X-Stay") {
			moved = okAnswer
		}
		_, err := conn.Write([]byte(moved))
		return err == nil
	})
	path, edit := logged(t, accesslog.JSON)
	view := viewOf(t, 1, func(table *ring.Table) {
		table.Nodes = []ring.Node{up("n1", first.address()), up("n2", second.address())}
		for slot := range table.Epochs {
			table.Epochs[slot], table.Owners[slot] = 5, 0
		}
	}, func(*api.Settings) {})
	proxy, _ := start(t, view, defaults, loopback, edit)
	count := 0
	f := func(request, want string) {
		t.Helper()
		conn := dial(t, proxy)
		_, _ = conn.Write([]byte(request))
		_ = conn.(*net.TCPConn).CloseWrite() // so that the proxy closes, too, behind its answer
		got, _ := listen(t, conn)
		count++
		line := lines(t, path, count)[count-1]
		want = strings.ReplaceAll(want, "IN", fmt.Sprint(len(request)))
		want = strings.ReplaceAll(want, "OUT", fmt.Sprint(len(got)))
		stripped := varying.ReplaceAllString(line, "_")
		if stripped != want || !json.Valid([]byte(line)) {
			t.Errorf("logged\n%s\n%s, want\n%s", line, stripped, want)
		}
	}
	slot := func(key string) string {
		slot, _, _, _ := view.Locate([]byte(key))
		return fmt.Sprintf(`"slot":%d`, slot)
	}
	f("GET /kv/acme?tenant=acme&x=1 HTTP/1.1\r\nHost: h\r\nX-Stay: 1\r\n\r\n",
		`{_,"client":"127.0.0.1","method":"GET","target":"/kv/{key}?tenant={key}&x=1","status":200,"octets_in":IN,"octets_out":OUT,_,`+slot("acme")+`,_,_,"retries":0,"moved":0}`)
	f("PUT /kv/acme HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 6.6.6.6, 1.2.3.4\r\nX-Request-Id: mine\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		`{_,"client":"1.2.3.4","method":"PUT","target":"/kv/{key}","status":200,"octets_in":IN,"octets_out":OUT,_,`+slot("acme")+`,_,"request_id":"mine","retries":1,"moved":1}`)
	f("GET /plain HTTP/1.1\r\nHost: h\r\n\r\n",
		`{_,"client":"127.0.0.1","method":"GET","target":"/plain","status":400,"problem":"no_key","octets_in":IN,"octets_out":OUT,_,_,"retries":0,"moved":0}`)
	f("CONNECT acme:80 HTTP/1.1\r\nHost: acme:80\r\n\r\n",
		`{_,"client":"127.0.0.1","method":"CONNECT","target":"acme:80","status":501,"problem":"connect_unsupported","octets_in":IN,"octets_out":OUT,_,_,"retries":0,"moved":0}`)
	f("GET /kv/acme HTTP/1.1\nHost: h\r\n\r\n",
		`{_,"client":"127.0.0.1","status":400,"problem":"bad_request","octets_in":IN,"octets_out":OUT,_,_,"retries":0,"moved":0}`)
	first.stop()
	f("GET /kv/acme HTTP/1.1\r\nHost: h\r\nX-Stay: 1\r\n\r\n",
		`{_,"client":"127.0.0.1","method":"GET","target":"/kv/{key}","status":503,"problem":"owner_down","octets_in":IN,"octets_out":OUT,_,`+slot("acme")+`,_,_,_,"moved":0}`)
}

func TestAccessLogCombined(t *testing.T) {
	node := startNode(t, answer(okAnswer))
	path, edit := logged(t, accesslog.Combined)
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), edit)
	served(t, proxy, "GET /kv/acme HTTP/1.1\r\nHost: h\r\nReferer: https://h/kv/acme\r\nUser-Agent: curl \"8\"\r\n\r\n", "ok")
	want := regexp.MustCompile(`^127\.0\.0\.1 - - \[\d\d/\w+/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET /kv/\{key\} HTTP/1\.1" 200 2 "https://h" "curl \\"8\\""$`)
	if line := lines(t, path, 1)[0]; !want.MatchString(line) {
		t.Errorf("logged %s", line)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := proxy.ReopenLogs(); err != nil {
		t.Fatal(err)
	}
	served(t, proxy, getA, "ok")
	lines(t, path, 1)
	lines(t, path+".1", 1)
	if _, body := get(t, proxy, "/metrics"); !strings.Contains(body, "stead_proxy_access_log_dropped_total 0") {
		t.Error("dropped lines are not counted")
	}
}

// TestAccessLogSample: a share of 0 leaves failures, and keys are shown to who asks for them.
func TestAccessLogSample(t *testing.T) {
	node := startNode(t, func(conn net.Conn, _ int, request received) bool {
		reply := okAnswer
		if strings.Contains(request.raw, "/kv/fail") {
			reply = "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
		}
		_, err := conn.Write([]byte(reply))
		return err == nil
	})
	path, edit := logged(t, accesslog.JSON)
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), edit, func(c *Config) { c.AccessLog.Sample, c.AccessLog.Keys = 0, true })
	served(t, proxy, getA, "ok")
	if response, _ := ask(t, proxy, "GET /kv/fail HTTP/1.1\r\nHost: h\r\n\r\n"); response.StatusCode != 500 {
		t.Errorf("answered %d", response.StatusCode)
	}
	if line := lines(t, path, 1)[0]; !strings.Contains(line, `"target":"/kv/fail","status":500`) || strings.Contains(line, "request_id") {
		t.Errorf("logged %s", line)
	}
}
