//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/tests/cluster"
)

// keyWriters write to keys of a service, one a key, and count what is acknowledged.
type keyWriters struct {
	t            *testing.T
	proxy        string
	method, path string                       // of a write; %d: the key
	body         func(key, number int) string // of the number-th write to a key
	stop         chan struct{}                // closed when enough is written
	stopOnce     sync.Once
	running      sync.WaitGroup
	mu           sync.Mutex
	acknowledged map[int]int
	failed       int
}

// clientKeys are written to at once, each at least clientWrites times.
const (
	clientKeys   = 8
	clientWrites = 40
)

func (c *keyWriters) start() {
	c.acknowledged = make(map[int]int)
	c.stop = make(chan struct{})
	c.t.Cleanup(c.halt) // of a test that gave up
	for key := range clientKeys {
		c.running.Go(func() {
			for number := 1; ; number++ {
				select {
				case <-c.stop:
					if number > clientWrites || c.t.Failed() {
						return
					}
				default:
				}
				status, answer := sendTo(c.t, c.method, "http://"+c.proxy+fmt.Sprintf(c.path, key), c.body(key, number))
				c.mu.Lock()
				if status == http.StatusOK {
					c.acknowledged[key]++
				} else {
					c.failed++
					c.t.Errorf("write %d to %d: %d %.200s", number, key, status, answer)
				}
				c.mu.Unlock()
			}
		})
	}
}

func (c *keyWriters) halt() {
	c.stopOnce.Do(func() { close(c.stop) })
	c.running.Wait()
}

func (c *keyWriters) end() {
	c.halt()
	total := 0
	for _, count := range c.acknowledged {
		total += count
	}
	c.t.Logf("%d writes acknowledged, %d failed", total, c.failed)
}

func sendTo(t *testing.T, method, url, body string) (int, string) {
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	got, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		return 0, err.Error()
	}
	return got.StatusCode, string(text)
}

// awaitServed waits until every key is answered.
func awaitServed(c *cluster.Cluster, t *testing.T, ask func(key int) int) {
	t.Helper()
	c.Await("answers for all keys", func(context.Context) bool {
		for key := range clientKeys {
			if ask(key) != http.StatusOK {
				return false
			}
		}
		return true
	})
}

// moveAll drains a node and waits until it holds nothing.
func moveAll(c *cluster.Cluster, t *testing.T, id api.NodeID) {
	t.Helper()
	if _, err := c.Client.Drain(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	c.Await("the drain of "+string(id), func(ctx context.Context) bool {
		feed, err := c.Client.Slots(ctx)
		return err == nil && !slices.ContainsFunc(feed.Slots, func(slot api.SlotConfig) bool {
			return slices.ContainsFunc(slot.ISR, func(replica api.Replica) bool { return replica.Node == id })
		})
	})
}

// TestSQLiteMoves: databases move off a node under load, and every acknowledged row is there.
func TestSQLiteMoves(t *testing.T) {
	c := cluster.Start(t, cluster.Options{
		Members: 1, Proxies: 1, State: api.StateManaged, Replicas: 2,
		ControlArgs: []string{"--keys", "path:/db/{key}", "--slots", "256"},
	})
	binary := filepath.Join(t.TempDir(), "sqlite")
	if output, err := exec.Command("go", "build", "-o", binary, "../../examples/sqlite").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	for i := range 3 {
		cluster.Run(t, fmt.Sprint("s", i+1), binary, "--id", fmt.Sprint("s", i+1), "--listen", cluster.FreeAddress(t),
			"--control", c.APIs[0], "--data-dir", t.TempDir())
	}
	url := func(key int) string { return fmt.Sprintf("http://%s/db/t%d", c.ProxyAddrs[0], key) }
	awaitServed(c, t, func(key int) int {
		status, _ := sendTo(t, "POST", url(key), `{"statements":[{"sql":"CREATE TABLE IF NOT EXISTS n (n, r)"}]}`)
		return status
	})
	load := &keyWriters{t: t, proxy: c.ProxyAddrs[0], method: "POST", path: "/db/t%d", body: func(_, number int) string {
		return fmt.Sprintf(`{"statements":[{"sql":"INSERT INTO n VALUES (?, random())","args":[%d]}]}`, number)
	}}
	load.start()
	moveAll(c, t, "s1")
	load.end()
	for key, count := range load.acknowledged {
		status, answer := sendTo(t, "POST", url(key), `{"statements":[{"sql":"SELECT count(DISTINCT n) FROM n"}]}`)
		if status != http.StatusOK || !strings.Contains(answer, fmt.Sprintf("[[%d]]", count)) {
			t.Errorf("key %d: %d %s, %d rows were acknowledged", key, status, answer, count)
		}
	}
}

// TestHooksMove: a Python service behind sidecars gives its slots to another under load, and loses nothing.
func TestHooksMove(t *testing.T) {
	c := cluster.Start(t, cluster.Options{
		Members: 1, Proxies: 1, State: api.StateHooks,
		ControlArgs: []string{"--keys", "path:/notes/{key}", "--slots", "256"},
	})
	for i := range 2 {
		upstream := cluster.FreeAddress(t)
		_, port, _ := strings.Cut(upstream, ":")
		cluster.Run(t, fmt.Sprint("h", i+1), cluster.Binary(t), "sidecar", "--id", fmt.Sprint("h", i+1), "--listen", cluster.FreeAddress(t),
			"--control", c.APIs[0], "--data-dir", t.TempDir(), "--hooks", "--upstream", upstream, "--",
			"python3", "../../examples/hooks/app.py", port, t.TempDir())
	}
	url := func(key int) string { return fmt.Sprintf("http://%s/notes/t%d", c.ProxyAddrs[0], key) }
	awaitServed(c, t, func(key int) int {
		status, _ := sendTo(t, "GET", url(key), "")
		return status
	})
	load := &keyWriters{t: t, proxy: c.ProxyAddrs[0], method: "POST", path: "/notes/t%d", body: func(key, number int) string {
		return fmt.Sprintf("%d-%d", key, number)
	}}
	load.start()
	moveAll(c, t, "h1")
	load.end()
	for key, count := range load.acknowledged {
		status, answer := sendTo(t, "GET", url(key), "")
		if got := strings.Count(answer, "\n"); status != http.StatusOK || got != count {
			t.Errorf("key %d: %d with %d notes, %d were acknowledged", key, status, got, count)
		}
	}
}
