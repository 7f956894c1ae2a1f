//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/tests/cluster"
)

// TestEventsThroughCurl: what curl -N prints of a drain, from a member that does not lead.
func TestEventsThroughCurl(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Members: 3})
	for i := range 2 {
		c.Static(fmt.Sprintf("n%d", i+1), fmt.Sprintf("127.0.0.1:%d", 2001+i))
	}
	c.Await("slots", func(ctx context.Context) bool {
		status, err := c.Client.Cluster(ctx)
		return err == nil && status.Unassigned == 0
	})
	follower := (c.Leader() + 1) % 3
	curl := exec.CommandContext(t.Context(), "curl", "-sN", "http://"+c.APIs[follower]+"/v1/events")
	output, err := curl.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := curl.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = curl.Process.Kill(); _ = curl.Wait() }()
	lines := bufio.NewScanner(output)
	await := func(part string) {
		t.Helper()
		stuck := time.AfterFunc(cluster.Patience, func() { _ = curl.Process.Kill() })
		defer stuck.Stop()
		for lines.Scan() {
			if strings.Contains(lines.Text(), part) {
				return
			}
		}
		t.Fatalf("curl printed no %q", part)
	}
	await("id: 1-") // the place it begins at
	stead(t, c, "nodes", "drain", "n2", "--actor", "ann@desk")
	start := time.Now()
	await("event: change")
	await(`"cause":"drain n2","actor":"ann@desk"`)
	within(t, "drain to its event at a follower", time.Since(start), time.Second)
}

// receiver is a webhook's receiver that can be told to refuse.
type receiver struct {
	server *httptest.Server

	mu     sync.Mutex
	refuse bool
	events []api.Event
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{}
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		var event api.Event
		if err != nil || json.Unmarshal(body, &event) != nil || request.Header.Get(api.HeaderSignature) == "" {
			t.Errorf("posted %q, %v", body, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.refuse {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		r.events = append(r.events, event)
	}))
	t.Cleanup(r.server.Close)
	return r
}

func (r *receiver) refuses(yes bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse = yes
}

// fresh drops what a receiver has seen before, as its documentation says.
func (r *receiver) fresh() (events []api.Event, again int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, event := range r.events {
		if len(events) > 0 && !events[len(events)-1].ID.Precedes(event.ID) {
			again++
			continue
		}
		events = append(events, event)
	}
	return events, again
}

// TestWebhookThroughAKilledLeader: a receiver that is away for a while holds up no operator, and hears in
// order of every change all the same, the leader's kill -9 included.
func TestWebhookThroughAKilledLeader(t *testing.T) {
	to := newReceiver(t)
	key := filepath.Join(t.TempDir(), "webhook.key")
	if err := os.WriteFile(key, []byte("a key of enough bytes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := cluster.Start(t, cluster.Options{Members: 3, ControlArgs: []string{"--webhook", to.server.URL + "/hook", "--webhook-key-file", key}})
	for i := range 2 {
		c.Static(fmt.Sprintf("n%d", i+1), fmt.Sprintf("127.0.0.1:%d", 2001+i))
	}
	weight := func(round int) time.Duration {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), cluster.Patience)
		defer cancel()
		value, start := 2+round, time.Now()
		if _, err := c.Client.PatchNode(ctx, "n1", api.NodePatch{Weight: &value}); err != nil {
			t.Fatal(err)
		}
		return time.Since(start)
	}
	for round := range 10 {
		weight(round)
	}
	to.refuses(true)
	var away []time.Duration
	for round := 10; round < 20; round++ {
		away = append(away, weight(round))
	}
	within(t, "a write while the receiver is away (median)", median(away), 500*time.Millisecond)
	killed := c.Leader()
	c.Members[killed].Kill()
	for round := 20; round < 25; round++ {
		weight(round)
	}
	to.refuses(false)
	c.Members[killed].Start()
	for round := 25; round < 30; round++ {
		weight(round)
	}
	var changes api.ChangeList
	heard := map[api.ChangeID]api.ChangeStatus{}
	c.Await("every change at the receiver", func(ctx context.Context) bool {
		var err error
		if changes, err = c.Client.Changes(ctx, 0, 1000); err != nil {
			return false
		}
		events, _ := to.fresh()
		for _, event := range events {
			heard[event.Change.ID] = event.Change.Status
		}
		for _, change := range changes.Changes {
			if change.Kind != "bootstrap" && heard[change.ID] != change.Status {
				return false
			}
		}
		return true
	})
	events, again := to.fresh()
	t.Logf("%d changes, %d events, %d of them again", len(changes.Changes), len(events), again)
}
