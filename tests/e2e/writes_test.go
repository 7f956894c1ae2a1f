//go:build e2e

package e2e

import (
	"context"
	"errors"
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

// TestProxyStopsUnderLoad: a proxy told to stop finishes what it has begun, and refuses the rest at the
// door; its sibling goes on.
func TestProxyStopsUnderLoad(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Members: 1, Proxies: 2, Nodes: 2})
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var mu sync.Mutex
	served, refused := 0, 0
	for worker := range 8 {
		all.Go(func() {
			for i := worker; ctx.Err() == nil; i++ {
				got, err := try(t.Context(), "GET", kvURL(c.ProxyAddrs[0], keyNumber(i)), nil)
				mu.Lock()
				switch {
				case err == nil && got.status == http.StatusNotFound:
					served++
				case errors.Is(err, syscall.ECONNREFUSED):
					refused++
				default:
					t.Errorf("a request was lost: %d %s, %v", got.status, got.body, err)
				}
				mu.Unlock()
			}
		})
	}
	pause(500 * time.Millisecond)
	c.Proxies[0].Stop()
	pause(100 * time.Millisecond)
	stop()
	all.Wait()
	t.Logf("%d served, %d refused at the door", served, refused)
	if served < 100 || refused == 0 {
		t.Error("too little load to mean anything")
	}
	if got := must(t, "PUT", kvURL(c.ProxyAddrs[1], []byte("k")), nil); got.status != http.StatusCreated {
		t.Errorf("its sibling answers %d %s", got.status, got.body)
	}
}
