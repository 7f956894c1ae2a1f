//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stead-io/stead/tests/cluster"
)

// TestAcknowledgedWritesSurvive: nodes are killed with -9, paused, and restarted under writes. Each write
// that was acknowledged is there at the end, whichever proxy is asked.
func TestAcknowledgedWritesSurvive(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Members: 3, Proxies: 2, Nodes: 3})
	ctx, stop := context.WithCancel(t.Context())
	var mu sync.Mutex
	var acknowledged [][]byte
	var writers sync.WaitGroup
	for writer := range 8 {
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				key := fmt.Appendf(nil, "w%d-%d", writer, i)
				got, err := try(t.Context(), "PUT", kvURL(c.ProxyAddrs[i%2], key), key)
				if err == nil && got.status == http.StatusCreated {
					mu.Lock()
					acknowledged = append(acknowledged, key)
					mu.Unlock()
				}
			}
		})
	}
	for round := range 6 {
		node := c.Nodes[round%3]
		pause(300 * time.Millisecond)
		if round%2 == 0 {
			node.Kill()
			pause(300 * time.Millisecond)
			node.Start()
		} else {
			node.Signal(syscall.SIGSTOP)
			pause(2500 * time.Millisecond)
			node.Signal(syscall.SIGCONT)
		}
	}
	pause(300 * time.Millisecond)
	stop()
	writers.Wait()
	c.Await("all nodes to serve", func(ctx context.Context) bool {
		cluster, err := c.Client.Cluster(ctx)
		return err == nil && cluster.Nodes.Up == 3
	})
	c.AwaitConverged()
	t.Logf("%d writes were acknowledged", len(acknowledged))
	if len(acknowledged) < 1000 {
		t.Error("too few to mean anything")
	}
	for i, key := range acknowledged {
		if got := must(t, "GET", kvURL(c.ProxyAddrs[i%2], key), nil); got.status != http.StatusOK || string(got.body) != string(key) {
			t.Fatalf("%s was acknowledged and is %d %s", key, got.status, got.body)
		}
	}
}

// pause lets faults last a while; nothing is waited for.
func pause(while time.Duration) { time.Sleep(while) }
