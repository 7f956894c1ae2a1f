package nodesvc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"sync"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc"
)

// counters is a whole service: it counts the visits of every key. How many replicas keep the counts, on disk or
// in memory, where, and how they move while they are counted on, is the node's affair.
type counters struct {
	node   *nodesvc.Node
	mu     sync.Mutex
	counts map[api.Slot]map[string]int
}

// Visit counts, and answers with the count: of every visit that was answered, no replica ever loses track.
func (c *counters) Visit(w http.ResponseWriter, r *http.Request) {
	key := nodesvc.KeyOf(r.Context())
	count, err := c.node.Update(r.Context(), key, func() ([]byte, error) { return key, nil })
	if err != nil {
		nodesvc.WriteError(w, r, err)
		return
	}
	fmt.Fprintln(w, count)
}

func (c *counters) Apply(slot api.Slot, key []byte) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts[slot] == nil {
		c.counts[slot] = make(map[string]int)
	}
	c.counts[slot][string(key)]++
	return c.counts[slot][string(key)], nil
}

func (c *counters) Snapshot(slot api.Slot, w io.Writer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return json.NewEncoder(w).Encode(c.counts[slot]) // its keys in order: equal states make equal octets
}

func (c *counters) Restore(slot api.Slot, r io.Reader) error {
	var counts map[string]int
	if err := json.NewDecoder(r).Decode(&counts); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[slot] = counts
	return nil
}

func (c *counters) Drop(slot api.Slot) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.counts, slot)
	return nil
}

// A service that counts visits, as a node of the ring.
func Example() {
	control := startControl()
	defer control.stop()

	config := nodesvc.NewConfig()
	listener, err := config.Security.Listen("127.0.0.1:0") // in TLS, where Security has it
	if err != nil {
		log.Fatal(err)
	}
	service := &counters{counts: make(map[api.Slot]map[string]int)}
	config.ID, config.Advertise = "counter-1", listener.Addr().String()
	config.Control = []string{control.address}
	config.Service = service // without DataDir: in memory
	if service.node, err = nodesvc.Open(config); err != nil {
		log.Fatal(err)
	}
	server := nodesvc.NewServer(service.node.Guard(http.HandlerFunc(service.Visit)), slog.Default())
	go func() { _ = server.Serve(listener) }()

	for range 3 {
		fmt.Print(visitAs("acme", config.Advertise)) // in real life: through a proxy
	}
	fmt.Print(visitAs("umbrella", config.Advertise))

	// When told to stop: hand the slots over, finish what is inside, leave.
	_ = service.node.Leave(context.Background())
	_ = server.Shutdown(context.Background())
	_ = service.node.Close(context.Background())
	// Output:
	// 1
	// 2
	// 3
	// 1
}
