//go:build bench && linux

package bench

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc/replication"
	links "github.com/stead-io/stead/nodesvc/replication/peer"
	"github.com/stead-io/stead/nodesvc/replication/slotlog"
	"github.com/stead-io/stead/tests/cluster"
)

var (
	updating   = flag.Duration("updating", 5*time.Second, "how long each load of updates runs")
	recordSize = flag.Int("record", 256, "bytes of each update's record")
)

const (
	slotBits   = 8
	linkWithin = 10 * time.Second
)

// TestReplication updates slots of one, two and three replicas, each with a log on disk, over loopback, beside
// a file to which the same records are appended one by one, each synced.
func TestReplication(t *testing.T) {
	var table figures
	table.add("replicas", "writers", "updates/s", "p50", "p99", "CPU/update", "syncs alone/s", "p50", "p99")
	for _, replicas := range []int{1, 2, 3} {
		engines := startEngines(t, replicas)
		for _, writers := range []int{1, 16, 128} {
			plain := appendAlone(t)
			got := update(t, engines[0], writers)
			table.add(replicas, writers, fmt.Sprintf("%.0f", got.rate()), milliseconds(got.at(0.5)), milliseconds(got.at(0.99)),
				got.cpu/time.Duration(len(got.latencies)), fmt.Sprintf("%.0f", plain.rate()), milliseconds(plain.at(0.5)), milliseconds(plain.at(0.99)))
		}
	}
	table.print(fmt.Sprintf("Updates of %d bytes; milliseconds; CPU of all replicas and the load together", *recordSize))
}

// loaded is what a load saw.
type loaded struct {
	took      time.Duration
	latencies []time.Duration
	cpu       time.Duration
}

func (l loaded) rate() float64              { return float64(len(l.latencies)) / l.took.Seconds() }
func (l loaded) at(q float64) time.Duration { return quantile(l.latencies, q) }

// update has writers update keys of all slots, each waiting for one update before the next.
func update(t *testing.T, engine *replication.Engine, writers int) loaded {
	t.Helper()
	record := make([]byte, *recordSize)
	return measure(t, writers, func(writer, i int) error {
		slot := api.Slot((writer + i*writers) % (1 << slotBits))
		_, err := engine.Update(t.Context(), slot, fmt.Appendf(nil, "%d", writer), func() ([]byte, error) { return record, nil })
		return err
	})
}

// appendAlone appends and syncs records, one after another.
func appendAlone(t *testing.T) loaded {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "alone"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	record := make([]byte, *recordSize)
	return measure(t, 1, func(int, int) error {
		_, err := file.Write(record)
		return errors.Join(err, syscall.Fdatasync(int(file.Fd())))
	})
}

func measure(t *testing.T, writers int, do func(writer, i int) error) loaded {
	t.Helper()
	latencies := make([][]time.Duration, writers)
	var failed atomic.Pointer[error]
	var all sync.WaitGroup
	start, before := time.Now(), cpuOf(t, os.Getpid())
	for writer := range writers {
		all.Go(func() {
			for i := 0; time.Since(start) < *updating && failed.Load() == nil; i++ {
				began := time.Now()
				if err := do(writer, i); err != nil {
					failed.CompareAndSwap(nil, &err)
				}
				latencies[writer] = append(latencies[writer], time.Since(began))
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		t.Fatal(*err)
	}
	return loaded{time.Since(start), slices.Concat(latencies...), cpuOf(t, os.Getpid()) - before}
}

// nothing is a service without state: what is measured is how records get to it.
type nothing struct{}

func (nothing) Apply(api.Slot, []byte) (any, error)   { return nil, nil }
func (nothing) Snapshot(api.Slot, io.Writer) error    { return nil }
func (nothing) Restore(_ api.Slot, r io.Reader) error { _, err := io.Copy(io.Discard, r); return err }
func (nothing) Drop(api.Slot) error                   { return nil }

// settled is a control plane under which no slot changes any more.
type settled struct{}

func (settled) Propose(context.Context, []api.SlotProposal) (api.SlotVerdicts, error) {
	return api.SlotVerdicts{}, errors.New("nothing changes here")
}

// startEngines runs so many engines that hold every slot together, and waits until the first serves them.
func startEngines(t *testing.T, replicas int) []*replication.Engine {
	t.Helper()
	feed := api.SlotFeed{
		Cursor: api.SlotCursor{Generation: 1, Index: 2}, Full: true,
		Settings: api.Settings{State: api.StateManaged, Replicas: replicas, SlotBits: slotBits},
	}
	var members []api.Replica
	for i := range replicas {
		id := api.NodeID(fmt.Sprintf("n%d", i+1))
		store := api.StoreID(fmt.Sprintf("%032x", i+1))
		members = append(members, api.Replica{Node: id, Store: store})
		feed.Nodes = append(feed.Nodes, api.SlotNode{ID: id, Address: cluster.FreeAddress(t), Store: store, Status: api.NodeUp})
	}
	var want []api.NodeID
	for _, m := range members {
		want = append(want, m.Node)
	}
	for slot := range api.Slot(1 << slotBits) {
		feed.Slots = append(feed.Slots, api.SlotConfig{Slot: slot, Epoch: 1, Primary: "n1", ISR: members, Want: want})
	}
	var engines []*replication.Engine
	for i, member := range members {
		engines = append(engines, startEngine(t, member, feed.Nodes[i].Address))
	}
	for _, engine := range engines {
		engine.Registered(api.SlotCursor{Generation: 1, Index: 1})
		engine.Learn(feed)
	}
	awaitServed(t, engines[0])
	return engines
}

// hears passes on what other nodes say; engine and links need each other.
type hears struct{ links.Handler }

func startEngine(t *testing.T, self api.Replica, address string) *replication.Engine {
	t.Helper()
	log, err := slotlog.OpenDisk(t.TempDir(), slotlog.DiskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	handler := &hears{}
	network := links.Open(links.Config{
		Self:    links.Hello{Cluster: "00112233445566778899aabbccddeeff", Node: self.Node, Store: self.Store, Nonce: "1", SlotBits: slotBits, State: api.StateManaged},
		Handler: handler,
		Dial: links.DialHTTP(func(ctx context.Context, _ api.NodeID, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}),
	})
	engine, err := replication.Open(replication.Config{Self: self, Bits: slotBits, Service: nothing{}, Log: log, Network: network, Control: settled{}})
	if err != nil {
		t.Fatal(err)
	}
	handler.Handler = engine
	serveLinks(t, address, network)
	t.Cleanup(func() { // what uses others ends before them
		if err := errors.Join(engine.Close(), network.Close(), log.Close()); err != nil {
			t.Error(err)
		}
	})
	return engine
}

// serveLinks takes the connections of other nodes.
func serveLinks(t *testing.T, address string, network *links.Links) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, err := links.Upgrade(w, r); err == nil {
			network.Accept(conn, "")
		}
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // until it is closed
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
}

// awaitServed waits until the engine serves every slot.
func awaitServed(t *testing.T, engine *replication.Engine) {
	t.Helper()
	deadline := time.After(linkWithin)
	for slot := range api.Slot(1 << slotBits) {
		for where := engine.Where(slot); where.Place != replication.PlaceHere; where = engine.Where(slot) {
			select {
			case <-where.Moved:
			case <-deadline:
				t.Fatalf("slot %d is not served", slot)
			}
		}
	}
}
