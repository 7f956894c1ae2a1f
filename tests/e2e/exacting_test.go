//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stead-io/stead/tests/cluster"
)

// exacting is load by clients that forgive nothing: what a connection fails with is an error, and is asked once. Half of them
// keep their connections until an answer tells them to leave, half make one a request; half of what they ask are writes,
// some of them long, or in parts with a pause between.
type exacting struct {
	t       *testing.T
	proxies []string // the next is asked where one takes no connection
	stop    context.CancelFunc
	all     sync.WaitGroup
	served  atomic.Int64
	refused atomic.Int64 // connections
}

const (
	exactingClients = 16
	exactingLong    = 96 << 10 // octets of a long write
)

func startExacting(t *testing.T, proxies ...string) *exacting {
	ctx, stop := context.WithCancel(t.Context())
	e := &exacting{t: t, proxies: proxies, stop: stop}
	t.Cleanup(func() { stop(); e.all.Wait() }) // of a test that gave up
	for client := range exactingClients {
		e.all.Go(func() {
			for turn := client; ctx.Err() == nil; turn++ {
				if err := e.visit(ctx, turn); err != nil {
					t.Errorf("client %d: %v", client, err)
					return
				}
			}
		})
	}
	return e
}

// dial connects to the first proxy that takes a connection.
func (e *exacting) dial() (conn net.Conn, err error) {
	for _, proxy := range e.proxies {
		if conn, err = net.Dial("tcp", proxy); !errors.Is(err, syscall.ECONNREFUSED) {
			return conn, err
		}
		e.refused.Add(1)
	}
	return nil, err
}

// visit makes one connection.
func (e *exacting) visit(ctx context.Context, turn int) error {
	conn, err := e.dial()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	reader := bufio.NewReader(conn)
	for i := 0; ; i++ {
		_ = conn.SetDeadline(time.Now().Add(cluster.Patience))
		if err := ask(conn, turn, i); err != nil {
			return fmt.Errorf("after %d answers on this connection: %w", i, err)
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			return fmt.Errorf("after %d answers on this connection: %w", i, err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode/100 != 2 {
			return fmt.Errorf("%s %s: %w", response.Status, body, err)
		}
		e.served.Add(1)
		if response.Close || ctx.Err() != nil || turn%2 == 0 {
			return nil
		}
		pause(time.Millisecond)
	}
}

// ask sends the i-th request of a connection.
func ask(to io.Writer, turn, i int) error {
	put := fmt.Sprintf("PUT /kv/key-%d HTTP/1.1\r\nHost: h\r\n", turn)
	var err error
	switch {
	case i%32 == 0 && turn%8 < 2: // in parts
		if _, err = io.WriteString(to, put+"Transfer-Encoding: chunked\r\n\r\n5\r\nvalue\r\n"); err != nil {
			return err
		}
		pause(20 * time.Millisecond)
		_, err = io.WriteString(to, "5\r\nvalue\r\n0\r\n\r\n")
	case i%32 == 0 && turn%8 < 4: // long
		_, err = fmt.Fprintf(to, "%sContent-Length: %d\r\n\r\n%s", put, exactingLong, strings.Repeat("x", exactingLong))
	case i%2 == 0:
		_, err = io.WriteString(to, put+"Content-Length: 5\r\n\r\nvalue")
	default:
		_, err = fmt.Fprintf(to, "GET /kv/key-%d HTTP/1.1\r\nHost: h\r\n\r\n", turn)
	}
	return err
}

// go on until so many more requests were answered.
func (e *exacting) more(count int64) {
	e.t.Helper()
	until := e.served.Load() + count
	deadline := time.Now().Add(cluster.Patience)
	for e.served.Load() < until && !e.t.Failed() {
		if time.Now().After(deadline) {
			e.t.Fatal("the load stands still")
		}
		pause(time.Millisecond)
	}
}

func (e *exacting) end() {
	e.stop()
	e.all.Wait()
	e.t.Logf("%d requests", e.served.Load())
}

// TestProxyStopsUnderLoad: a proxy told to stop finishes what it has begun, and refuses the rest at the door, where its
// sibling takes them. One after the other is started anew so, without an error.
func TestProxyStopsUnderLoad(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Members: 1, Proxies: 1, Nodes: 2})
	c.AddProxy("--mux", "off")
	c.AwaitProxy(1)
	for i, proxy := range c.Proxies {
		load := startExacting(t, c.ProxyAddrs[i], c.ProxyAddrs[1-i])
		load.more(300)
		proxy.Stop()
		if code := proxy.Ended(); code != 0 {
			t.Errorf("it ended with %d: %s", code, proxy.Output())
		}
		load.more(100)
		proxy.Start()
		c.AwaitProxy(i)
		load.more(100)
		load.end()
		if load.refused.Load() == 0 {
			t.Error("nobody was refused at the door")
		}
	}
}
