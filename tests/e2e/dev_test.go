//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stead-io/stead/tests/cluster"
)

// devSummary is what `stead dev --json` prints.
type devSummary struct {
	Control []struct {
		ID, API string
		PID     int
	}
	Proxies []struct {
		ID, URL, Admin string
		PID            int
	}
	Nodes []struct {
		ID, Address string
		PID         int
	}
}

// dev runs `stead dev` and hands its standard output to read.
func dev(t *testing.T, read func(stdout *bufio.Reader), args ...string) {
	t.Helper()
	command := exec.Command(cluster.Binary(t), append([]string{"dev", "--ports=free"}, args...)...)
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	logs, err := os.CreateTemp(t.TempDir(), "dev")
	if err != nil {
		t.Fatal(err)
	}
	command.Stderr = logs
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill() }) // where read gave up; its children end with it
	read(bufio.NewReader(stdout))
	_ = command.Process.Signal(syscall.SIGINT)
	if err := command.Wait(); err != nil && !strings.Contains(err.Error(), "130") {
		content, _ := os.ReadFile(logs.Name())
		t.Errorf("stead dev ended with %v:\n%s", err, content)
	}
}

func readSummary(t *testing.T, stdout *bufio.Reader) devSummary {
	t.Helper()
	line, err := stdout.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var summary devSummary
	if err := json.Unmarshal([]byte(line), &summary); err != nil {
		t.Fatalf("%v in %q", err, line)
	}
	return summary
}

// TestDev: one command, ready within ten seconds, and the lines it prints work as they stand.
func TestDev(t *testing.T) {
	cluster.Binary(t) // building it is no part of the ten seconds
	start := time.Now()
	dev(t, func(stdout *bufio.Reader) {
		var printed []string
		for {
			line, err := stdout.ReadString('\n')
			if err != nil {
				t.Fatalf("%v after %q", err, printed)
			}
			printed = append(printed, strings.TrimSpace(line))
			if strings.HasPrefix(strings.TrimSpace(line), "export STEAD_CONTROL=") {
				break
			}
		}
		within(t, "stead dev ready", time.Since(start), 10*time.Second)
		tried := 0
		for _, line := range printed {
			if strings.HasPrefix(line, "dig ") {
				output, err := exec.Command("sh", "-c", line).CombinedOutput()
				if got := strings.Fields(string(output)); err != nil || len(got) != 2 {
					t.Errorf("%s: %v, printed %q", line, err, got)
				}
				tried++
				continue
			}
			if !strings.HasPrefix(line, "curl ") {
				continue
			}
			tried++
			output, err := exec.Command("sh", "-c", strings.Replace(line, "curl ", "curl -sS --fail ", 1)).CombinedOutput()
			t.Logf("%s\n%s", line, output)
			if err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
		if tried < 3 {
			t.Errorf("only %d curl and dig lines in %q", tried, printed)
		}
	})
}

// TestDevFolder: the data folder is all that a restart needs, on other ports too.
func TestDevFolder(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	dev(t, func(stdout *bufio.Reader) {
		summary := readSummary(t, stdout)
		if len(summary.Control) != 3 || len(summary.Proxies) != 2 || len(summary.Nodes) != 3 || summary.Nodes[0].PID == 0 {
			t.Fatalf("got %+v", summary)
		}
		for i := range 30 {
			got := must(t, "PUT", summary.Proxies[i%2].URL+"/kv/"+string(keyNumber(i)), keyNumber(i))
			if got.status != http.StatusCreated {
				t.Fatalf("PUT: %d %s", got.status, got.body)
			}
		}
	}, "--json", "--data-dir", folder)
	dev(t, func(stdout *bufio.Reader) {
		summary := readSummary(t, stdout)
		for i := range 30 {
			got := must(t, "GET", summary.Proxies[i%2].URL+"/kv/"+string(keyNumber(i)), nil)
			if got.status != http.StatusOK || string(got.body) != string(keyNumber(i)) {
				t.Fatalf("GET after a restart: %d %s", got.status, got.body)
			}
		}
	}, "--json", "--data-dir", folder)
}

// TestDevChildKilled: a child that dies stays dead and is reported; the rest goes on, and all children
// end with stead dev, even when that is killed.
func TestDevChildKilled(t *testing.T) {
	var summary devSummary
	dev(t, func(stdout *bufio.Reader) {
		summary = readSummary(t, stdout)
		if err := syscall.Kill(summary.Control[0].PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			if got := must(t, "PUT", summary.Proxies[i%2].URL+"/kv/"+string(keyNumber(i)), nil); got.status/100 != 2 {
				t.Fatalf("with a member dead: %d %s", got.status, got.body)
			}
		}
	}, "--json")
	for _, node := range summary.Nodes {
		if conn, err := net.DialTimeout("tcp", node.Address, time.Second); err == nil {
			_ = conn.Close()
			t.Errorf("node %s outlived stead dev", node.ID)
		}
	}
}

// TestGarbageToEveryPort: bytes that are no protocol, too many of them or too few, get their documented
// answer or a closed connection; afterwards everything serves as before.
func TestGarbageToEveryPort(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Members: 3, Proxies: 1, Nodes: 1, DNS: true})
	cluster, err := c.Client.Cluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ports := map[string]string{"proxy": c.ProxyAddrs[0], "admin": c.AdminAddrs[0], "node": c.NodeAddrs[0], "dns": c.DNSAddrs[0]}
	for _, member := range cluster.Members {
		ports["api "+member.Name] = strings.TrimPrefix(member.API, "http://")
		ports["raft "+member.Name] = member.Raft
	}
	garbage := map[string]string{
		"binary":    "\x00\x01\x02\xff\xfe\r\n\r\n",
		"megabyte":  strings.Repeat("A", 1<<20),
		"truncated": "GET /kv/x HTTP/1.1\r\nHost: x\r\n",
		"header":    "GET /kv/x HTTP/1.1\r\nHost: x\r\nX-Big: " + strings.Repeat("y", 1<<20) + "\r\n\r\n",
		"body":      "PUT /kv/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nshort",
		"version":   "GET / HTTP/9.9\r\nHost: x\r\n\r\n",
		"tls":       "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"raft":      "stead-raft/1 nobody\n\x00\x00\x00",
	}
	for port, address := range ports {
		for name, bytes := range garbage {
			conn, err := net.DialTimeout("tcp", address, time.Second)
			if err != nil {
				t.Fatalf("%s: %v", port, err)
			}
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			_, _ = io.WriteString(conn, bytes)
			_ = conn.(*net.TCPConn).CloseWrite()
			got, err := io.ReadAll(conn)
			_ = conn.Close()
			if err != nil && strings.Contains(err.Error(), "timeout") {
				t.Errorf("%s held on to %s", port, name)
			}
			first, _, _ := strings.Cut(string(got), "\r\n")
			if strings.Contains(first, " 2") && !strings.Contains(first, "HTTP/1.1 4") {
				t.Errorf("%s took %s: %q", port, name, first)
			}
		}
	}
	if got := must(t, "PUT", kvURL(c.ProxyAddrs[0], []byte("after")), []byte("x")); got.status != http.StatusCreated {
		t.Fatalf("afterwards: %d %s", got.status, got.body)
	}
	got := must(t, "GET", kvURL(c.ProxyAddrs[0], []byte("x")), nil)
	if got.status != http.StatusNotFound {
		t.Fatalf("a truncated upload was stored: %d %s", got.status, got.body)
	}
}
