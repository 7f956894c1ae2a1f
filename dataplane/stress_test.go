package dataplane

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stead-io/stead/api"
)

// TestConcurrent: many clients, bodies of all sizes in both framings, a ring that changes under them;
// each gets its own octets back, and each key reaches the node that holds it.
func TestConcurrent(t *testing.T) {
	var nodes [3]*httptest.Server
	for i := range nodes {
		id := fmt.Sprintf("n%d", i+1)
		nodes[i] = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			w.Header().Set("X-Node", id)
			w.Header().Set("X-Key", r.Header.Get(api.HeaderKey))
			if r.URL.Query().Has("flush") {
				_ = http.NewResponseController(w).Flush()
			}
			_, _ = w.Write(body)
		}))
		defer nodes[i].Close()
	}
	at := func(i int) string { return nodes[i].Listener.Addr().String() }
	proxy, fake := start(t, ringOf(t, 1, 1, up("n1", at(0)), up("n2", at(1))))
	stop := make(chan struct{})
	var changes, clients sync.WaitGroup
	changes.Go(func() {
		for number := uint64(2); ; number++ {
			table := proxy.routes.Table()
			fake.publish(ringOf(t, number, api.Epoch(number), up("n1", at(0)), up("n2", at(1)), up("n3", at(2))))
			select {
			case <-table.Superseded:
			case <-stop:
				return
			}
		}
	})
	for worker := range 16 {
		clients.Go(func() {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			random := rand.New(rand.NewPCG(uint64(worker), 1))
			for i := range 40 {
				if err := roundTrip(&http.Client{Transport: transport, Timeout: patience}, proxy, random, fmt.Sprintf("key-%d-%d/é", worker, i)); err != nil {
					t.Errorf("client %d, request %d: %v", worker, i, err)
					return
				}
			}
		})
	}
	clients.Wait()
	close(stop)
	changes.Wait()
	if failures := proxy.nodes.Stats.ConnectFailures.Load(); failures != 0 {
		t.Errorf("%d connections failed", failures)
	}
}

func roundTrip(client *http.Client, proxy *Proxy, random *rand.Rand, key string) error {
	body := bytes.Repeat([]byte{byte(random.Uint32())}, random.IntN(1<<random.IntN(19)))
	target := "http://" + proxy.Addr() + "/x"
	if random.IntN(2) == 0 {
		target += "?flush"
	}
	var source io.Reader = bytes.NewReader(body)
	if random.IntN(2) == 0 {
		source = io.MultiReader(source) // of unknown length
	}
	request, err := http.NewRequest(http.MethodPut, target, source)
	if err != nil {
		return err
	}
	request.Header.Set("X-Shard-Key", key)
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != 200 || !bytes.Equal(got, body) || response.Header.Get("X-Key") != api.EncodeKey([]byte(key)) {
		return fmt.Errorf("%s, %d octets for %d, key %s: %s", response.Status, len(got), len(body), response.Header.Get("X-Key"), strings.ToValidUTF8(string(got[:min(len(got), 200)]), "?"))
	}
	return nil
}
