//go:build e2e && linux

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stead-io/stead/tests/cluster"
)

const (
	idleConnections    = 10_000
	idleConnectionsMax = 150_000_000 / 1024 // kB that a proxy may hold with them
	idleOpenAtOnce     = 32
	idleDescriptors    = idleConnections + 1000 // of this process and of the proxy, each
)

// TestIdleConnections: ten thousand clients that have asked something and keep their connections cost a proxy little memory, and
// it serves them as before.
func TestIdleConnections(t *testing.T) {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil || files.Max < idleDescriptors {
		t.Skipf("%d open files are needed and %d allowed (%v): raise the limit with ulimit -Hn", idleDescriptors, files.Max, err)
	}
	c := cluster.Start(t, cluster.Options{Members: 1, Proxies: 1, Nodes: 1, ControlArgs: soon})
	before := residentKB(t, c.Proxies[0])
	began := time.Now()
	clients := openClients(t, c.ProxyAddrs[0], idleConnections)
	opened := time.Since(began)
	resident := residentKB(t, c.Proxies[0])
	t.Logf("%d idle connections after %v: %d kB resident, %d before", len(clients), opened.Round(time.Millisecond), resident, before)
	if resident > idleConnectionsMax {
		t.Errorf("a proxy with %d idle connections holds %d kB, limit %d", len(clients), resident, idleConnectionsMax)
	}
	for i := 0; i < len(clients); i += 100 {
		if err := askOver(clients[i]); err != nil {
			t.Errorf("client %d after its pause: %v", i, err)
		}
	}
}

// openClients makes so many connections, each of which carries a request.
func openClients(t *testing.T, proxy string, count int) []net.Conn {
	t.Helper()
	all := make([]net.Conn, count)
	t.Cleanup(func() {
		for _, conn := range all {
			if conn != nil {
				_ = conn.Close()
			}
		}
	})
	var opening sync.WaitGroup
	var next atomic.Int64
	for range idleOpenAtOnce {
		opening.Go(func() {
			for i := next.Add(1) - 1; i < int64(count) && !t.Failed(); i = next.Add(1) - 1 {
				conn, err := net.Dial("tcp", proxy)
				if err == nil {
					all[i] = conn
					err = askOver(conn)
				}
				if err != nil {
					t.Errorf("client %d: %v", i, err)
				}
			}
		})
	}
	if opening.Wait(); t.Failed() {
		t.FailNow()
	}
	return all
}

// askOver sends a request over a connection, and reads its answer.
func askOver(conn net.Conn) error {
	_ = conn.SetDeadline(time.Now().Add(cluster.Patience))
	if _, err := io.WriteString(conn, "GET /kv/nothing HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReaderSize(conn, 512), nil)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusNotFound || response.Close {
		return fmt.Errorf("got %s, to be closed %v, %w", response.Status, response.Close, err)
	}
	return nil
}
