//go:build bench

package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
)

// herd is many simulated nodes in this process: each registers and then beats once a second, over
// connections kept alive and spread over the members.
type herd struct {
	drivers []*driver
	stop    context.CancelFunc
	all     sync.WaitGroup

	registered, beats, refused atomic.Int64
	// longest is how long a node of the herd went without a word, in nanoseconds: a machine that is too
	// busy for the load makes nodes silent that should not be.
	longest atomic.Int64
}

const (
	connectionsPerMember = 64
	beatPeriod           = time.Second
	beatTTL              = 10 * time.Second
)

// driver is one connection and the nodes that speak through it.
type driver struct {
	herd    *herd
	address string
	ids     []int
	silent  atomic.Bool // its nodes have vanished

	connection net.Conn
	reader     *bufio.Reader
	sessions   map[int]api.SessionID
	spoke      map[int]time.Time
}

// drive starts the herd; node i is number i%len of the drivers'.
func drive(t *testing.T, apis []string, nodes int) *herd {
	ctx, stop := context.WithCancel(t.Context())
	h := &herd{stop: stop}
	t.Cleanup(h.end)
	for i := range connectionsPerMember * len(apis) {
		h.drivers = append(h.drivers, &driver{herd: h, address: apis[i%len(apis)], sessions: make(map[int]api.SessionID), spoke: make(map[int]time.Time)})
	}
	for id := range nodes {
		d := h.drivers[id%len(h.drivers)]
		d.ids = append(d.ids, id)
	}
	for _, d := range h.drivers {
		h.all.Go(func() { d.run(ctx) })
	}
	return h
}

func (h *herd) end() {
	h.stop()
	h.all.Wait()
}

// silence has about a share of the nodes vanish: those of the first drivers, and of all members alike.
func (h *herd) silence(share float64) (gone int) {
	for _, d := range h.drivers[:int(share*float64(len(h.drivers)))] {
		d.silent.Store(true)
		gone += len(d.ids)
	}
	return gone
}

// run goes round its nodes once a period: who is not registered yet registers, the others beat. Each
// node has its own moment in the period.
func (d *driver) run(ctx context.Context) {
	defer d.hangUp()
	for start := time.Now(); ctx.Err() == nil; start = start.Add(beatPeriod) {
		for i, id := range d.ids {
			moment := start.Add(beatPeriod * time.Duration(i) / time.Duration(len(d.ids)))
			if !waitUntil(ctx, moment) {
				return
			}
			if d.silent.Load() {
				continue
			}
			if err := d.speak(id); err != nil {
				d.herd.refused.Add(1)
				d.hangUp()
				continue
			}
			d.note(id)
		}
		if late := time.Since(start); late > 2*beatPeriod {
			start = time.Now().Add(-beatPeriod) // what was missed is not made up for
		}
	}
}

// note takes the time since a node spoke last.
func (d *driver) note(id int) {
	now := time.Now()
	if last, before := d.spoke[id]; before {
		gap := int64(now.Sub(last))
		for longest := d.herd.longest.Load(); gap > longest && !d.herd.longest.CompareAndSwap(longest, gap); {
			longest = d.herd.longest.Load()
		}
	}
	d.spoke[id] = now
}

func waitUntil(ctx context.Context, moment time.Time) bool {
	timer := time.NewTimer(time.Until(moment))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (d *driver) hangUp() {
	if d.connection != nil {
		_ = d.connection.Close()
		d.connection = nil
	}
}

func (d *driver) speak(id int) error {
	if session, known := d.sessions[id]; known {
		status, err := d.post(fmt.Sprintf("/v1/nodes/%s/beat", nodeName(id)), api.Beat{Session: session}, nil)
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			return fmt.Errorf("a beat was answered %d", status)
		}
		d.herd.beats.Add(1)
		return nil
	}
	var answer api.Registered
	status, err := d.post("/v1/nodes", api.Registration{
		ID: nodeName(id), Address: fmt.Sprintf("10.%d.%d.%d:7500", id>>16, id>>8&255, id&255),
		OnDown: api.OnDownReset, TTL: api.Duration(beatTTL), Nonce: fmt.Sprintf("nonce-%d", id),
	}, &answer)
	if err != nil {
		return err
	}
	if status != http.StatusCreated && status != http.StatusOK {
		return fmt.Errorf("a registration was answered %d", status)
	}
	d.sessions[id] = answer.Session
	d.herd.registered.Add(1)
	return nil
}

func nodeName(id int) api.NodeID { return api.NodeID(fmt.Sprintf("node-%05d", id)) }

// post sends one request on the kept connection and reads its answer.
func (d *driver) post(path string, body, answer any) (status int, err error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return 0, err
	}
	if d.connection == nil {
		if d.connection, err = net.Dial("tcp", d.address); err != nil {
			return 0, err
		}
		d.reader = bufio.NewReaderSize(d.connection, 4<<10)
	}
	_ = d.connection.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := fmt.Fprintf(d.connection, "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n%s", path, len(raw), raw); err != nil {
		return 0, err
	}
	response, err := http.ReadResponse(d.reader, nil)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if answer == nil || response.StatusCode >= http.StatusBadRequest {
		_, err = io.Copy(io.Discard, response.Body)
		return response.StatusCode, err
	}
	return response.StatusCode, json.NewDecoder(response.Body).Decode(answer)
}
