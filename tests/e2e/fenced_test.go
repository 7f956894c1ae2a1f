//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/tests/cluster"
)

// queued is how many requests of each kind wait in a stopped node's sockets.
const queued = 8

// TestStoppedPrimaryIsFenced: the primary of a key is stopped, another is promoted and takes a write, and the
// first wakes with requests in its sockets. It acknowledges none of the writes and returns no stale value.
func TestStoppedPrimaryIsFenced(t *testing.T) {
	c := managed(t, 2, 3, 256)
	for round := range long(3, 50) {
		wake(t, c, keyNumber(round), round)
	}
}

func wake(t *testing.T, c *cluster.Cluster, key []byte, round int) {
	ctx, cancel := context.WithTimeout(t.Context(), cluster.Patience)
	defer cancel()
	view, err := c.Client.Ring(ctx)
	if err != nil {
		t.Fatal(err)
	}
	slot, epoch, old, found := view.Locate(key)
	if !found {
		t.Fatalf("%s has no primary", key)
	}
	before, after := fmt.Appendf(nil, "before-%d", round), fmt.Appendf(nil, "after-%d", round)
	store(t, c, key, before)

	place := int(old.ID[1] - '1')
	c.Nodes[place].Pause()
	waiting := queue(t, c.NodeAddrs[place], key, slot, epoch)
	c.Await("another primary", func(ctx context.Context) bool {
		config, err := c.Client.Slot(ctx, slot)
		return err == nil && config.Primary != "" && config.Primary != old.ID
	})
	store(t, c, key, after)
	pause(time.Duration(long(0, 6)) * time.Second)
	c.Nodes[place].Signal(syscall.SIGCONT)

	allowed := [][]byte{after}
	for _, request := range waiting {
		allowed = append(allowed, request.check(t, epoch, after)...)
	}
	got := must(t, http.MethodGet, kvURL(c.ProxyAddrs[0], key), nil)
	if !slices.ContainsFunc(allowed, func(value []byte) bool { return bytes.Equal(got.body, value) }) {
		t.Errorf("round %d: %s holds %s, acknowledged were %q", round, key, got.body, allowed)
	}
	awaitWhole(t, c, 2)
}

// store writes a key once it can be written.
func store(t *testing.T, c *cluster.Cluster, key, value []byte) {
	t.Helper()
	c.Await(string(key)+" to be written", func(ctx context.Context) bool {
		got, err := try(ctx, http.MethodPut, kvURL(c.ProxyAddrs[0], key), value)
		return err == nil && got.status/100 == 2
	})
}

// waitingRequest is one that a stopped process has in its socket.
type waitingRequest struct {
	conn   net.Conn
	method string
	value  []byte // of a write
}

// latePrefix begins the values that writes in the sockets bring.
const latePrefix = "late-"

// queue sends writes and reads as a proxy would that knows no better. The kernel takes them.
func queue(t *testing.T, address string, key []byte, slot api.Slot, epoch api.Epoch) (waiting []waitingRequest) {
	t.Helper()
	for i := range 2 * queued {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		method, body := http.MethodGet, ""
		if i%2 == 0 {
			method, body = http.MethodPut, fmt.Sprint(latePrefix, i)
		}
		_, err = fmt.Fprintf(conn, "%s /kv/%s HTTP/1.1\r\nHost: node\r\n%s: %s\r\n%s: %d\r\n%s: %d\r\nContent-Length: %d\r\n\r\n%s",
			method, key, api.HeaderKey, key, api.HeaderSlot, slot, api.HeaderEpoch, epoch, len(body), body)
		if err != nil {
			t.Fatal(err)
		}
		waiting = append(waiting, waitingRequest{conn, method, []byte(body)})
	}
	return waiting
}

// check reads the answer: in its old epoch the node acknowledges no write and reads no value. It may have been given
// the slot back meanwhile; then it knows what was written in between, and what it acknowledges now counts.
func (w waitingRequest) check(t *testing.T, old api.Epoch, newest []byte) (acknowledged [][]byte) {
	t.Helper()
	_ = w.conn.SetReadDeadline(time.Now().Add(cluster.Patience))
	response, err := http.ReadResponse(bufio.NewReader(w.conn), nil)
	if err != nil {
		t.Errorf("a %s that waited was never answered: %v", w.method, err)
		return nil
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	if response.StatusCode/100 != 2 {
		return nil
	}
	epoch, err := strconv.ParseUint(response.Header.Get(api.HeaderEpoch), 10, 64)
	late := w.method == http.MethodPut || bytes.HasPrefix(body, []byte(latePrefix)) || bytes.Equal(body, newest)
	if err != nil || api.Epoch(epoch) <= old || !late {
		t.Errorf("the old primary answers a %s in epoch %d (it was %d) with %d %s", w.method, epoch, old, response.StatusCode, body)
	}
	if w.method == http.MethodPut {
		return [][]byte{w.value}
	}
	return nil
}
