//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stead-io/stead/tests/cluster"
)

// TestLeaderStallsUnderRequests: who asks one member by hand gets an answer, whoever leads by then; a write has a key.
func TestLeaderStallsUnderRequests(t *testing.T) {
	t.Parallel()
	const stall = time.Second // longer than a leader may be silent
	c := cluster.Start(t, cluster.Options{Members: 3})
	c.Static("n1", cluster.FreeAddress(t))
	for round := range 3 {
		leader := c.Members[c.Leader()]
		leader.Pause()
		var asking sync.WaitGroup
		for i, member := range c.APIs {
			asking.Go(func() {
				url := "http://" + member + "/v1/nodes"
				if got, err := try(t.Context(), "GET", url, nil); err != nil || got.status != http.StatusOK {
					t.Errorf("round %d: a read of c%d: %d %s, %v", round, i+1, got.status, got.body, err)
				}
				key := fmt.Sprintf("weigh-%d-%d", round, i)
				got, err := try(t.Context(), "PATCH", url+"/n1", fmt.Appendf(nil, `{"weight": %d}`, 2+i), "Idempotency-Key", key)
				if err != nil || got.status != http.StatusOK {
					t.Errorf("round %d: a write to c%d: %d %s, %v", round, i+1, got.status, got.body, err)
				}
			})
		}
		time.Sleep(stall)
		leader.Signal(syscall.SIGCONT)
		asking.Wait()
	}
}
