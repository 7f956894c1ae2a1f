package mux_test

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	// window is what either side takes ahead of a body (docs/mux.md).
	window = 128 << 10
	// inHand is what a body may have beyond that in the hands of whoever sends it: a piece on its way, and the next.
	inHand = 64 << 10
)

// metered counts the octets that were taken from it; it has no end until it is closed.
type metered struct {
	taken  atomic.Int64
	closed atomic.Bool
}

func (m *metered) Read(p []byte) (int, error) {
	if m.closed.Load() {
		return 0, io.EOF
	}
	clear(p)
	m.taken.Add(int64(len(p)))
	return len(p), nil
}

// TestStalledStreams: a hundred bodies that nobody reads, each way, hold no more than their windows, and no request
// of their connection waits for them.
func TestStalledStreams(t *testing.T) {
	const stalled = 100
	var down, up [stalled]metered
	released := make(chan struct{})
	n := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var i int
		if _, err := fmt.Sscanf(r.URL.Path, "/down/%d", &i); err == nil {
			_, _ = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{&down[i]}, make([]byte, 1<<10))
			return
		}
		if r.Method == http.MethodPost {
			<-released
			return
		}
		_, _ = io.WriteString(w, "ok")
	})
	ways := muxed(t, n)
	requests := ways.mux.Stats.Requests.Load()
	var others sync.WaitGroup
	for i := range stalled {
		others.Go(func() { // a client that does not read
			answer, err := ways.mux.Send(n.target(), get(fmt.Sprintf("/down/%d", i)))
			if err != nil {
				t.Error(err)
				return
			}
			<-released
			answer.Close()
		})
		others.Go(func() { // a handler that does not
			_, _, _ = fetch(ways.mux, n.target(), post(t, "/", &up[i], -1))
		})
	}
	full := func(m *metered) bool { return m.taken.Load() >= window }
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		isFull := true
		for i := range stalled {
			isFull = isFull && full(&down[i]) && full(&up[i])
		}
		if isFull {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the windows are not used")
		}
	}
	for range 50 { // each may bring more of the others along
		if _, body, err := fetch(ways.mux, n.target(), get("/")); body != "ok" || err != nil {
			t.Errorf("beside them: %q, %v", body, err)
		}
	}
	for i := range stalled {
		if held := max(down[i].taken.Load(), up[i].taken.Load()); held > window+inHand {
			t.Errorf("a stream that nobody reads holds %d octets", held)
		}
		up[i].closed.Store(true)
		down[i].closed.Store(true)
	}
	close(released)
	others.Wait()
	if sent := ways.mux.Stats.Requests.Load() - requests; sent != 2*stalled+50 || ways.mux.Stats.Connects.Load() != 1 {
		t.Errorf("%d requests went over %d connections", sent, ways.mux.Stats.Connects.Load())
	}
}

// TestEndlessBodies: short requests are answered beside bodies that go on for as long as they do, both ways on the
// same connection; and the bodies go on beside them.
func TestEndlessBodies(t *testing.T) {
	var down, up metered
	var took, got atomic.Int64 // octets that have arrived up and down
	n := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/down":
			_, _ = io.Copy(w, &down)
		case "/up":
			_, _ = io.Copy(&counter{&took}, r.Body)
		default:
			_, _ = io.WriteString(w, "ok")
		}
	})
	ways := muxed(t, n)
	var others sync.WaitGroup
	others.Go(func() {
		answer, err := ways.mux.Send(n.target(), get("/down"))
		if err != nil {
			t.Error(err)
			return
		}
		defer answer.Close()
		for err == nil {
			var piece []byte
			piece, err = answer.Next()
			got.Add(int64(len(piece)))
		}
		if err != io.EOF {
			t.Errorf("down: %v", err)
		}
	})
	others.Go(func() {
		if status, _, err := fetch(ways.mux, n.target(), post(t, "/up", &up, -1)); status != http.StatusOK || err != nil {
			t.Errorf("up: %d, %v", status, err)
		}
	})
	awaitMore := func(of *atomic.Int64) {
		t.Helper()
		from := of.Load()
		for deadline := time.Now().Add(patience); of.Load() < from+4*window; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("a long body stands still")
			}
		}
	}
	for range 3 {
		awaitMore(&got)
		awaitMore(&took)
		var clients sync.WaitGroup
		for range 4 {
			clients.Go(func() {
				for range 25 {
					if _, body, err := fetch(ways.mux, n.target(), get("/small")); body != "ok" || err != nil {
						t.Errorf("got %q, %v", body, err)
					}
				}
			})
		}
		clients.Wait()
	}
	down.closed.Store(true)
	up.closed.Store(true)
	others.Wait()
	if ways.mux.Stats.Connects.Load() != 1 || ways.mux.Stats.Repeats.Load() != 0 {
		t.Errorf("%d connections, %d requests went another way", ways.mux.Stats.Connects.Load(), ways.mux.Stats.Repeats.Load())
	}
}

// counter counts what it is given.
type counter struct{ octets *atomic.Int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.octets.Add(int64(len(p)))
	return len(p), nil
}
