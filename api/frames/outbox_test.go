package frames

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// gate is a connection whose writes wait to be let through.
type gate struct {
	net.Conn
	writes chan []byte
	closed chan struct{}
	once   sync.Once
}

func newGate() *gate { return &gate{writes: make(chan []byte), closed: make(chan struct{})} }

func (g *gate) Write(p []byte) (int, error) {
	select {
	case g.writes <- bytes.Clone(p):
		return len(p), nil
	case <-g.closed:
		return 0, io.ErrClosedPipe
	}
}

func (g *gate) SetWriteDeadline(time.Time) error { return nil }

func (g *gate) Close() error {
	g.once.Do(func() { close(g.closed) })
	return nil
}

func (o *Outbox) send(octets []byte) {
	o.Lock()
	o.Put(append(o.Queue(), octets...))
	o.Release()
}

// waits reports how many pieces of bodies and octets of others wait.
func (o *Outbox) waits() (parcels, octets int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.parcels), len(o.queue)
}

// writes reports whether the first octets are being written.
func (o *Outbox) writes() bool { return o.writesBatch(1) }

// writesBatch reports whether that batch, the first being 1, is the last one that was begun.
func (o *Outbox) writesBatch(number uint64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.batches == number
}

func awaitUntil(t *testing.T, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !met(); {
		if time.Now().After(deadline) {
			t.Fatal("what was waited for did not come about")
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// TestCoalescing: what comes while one writes goes out in one write, and only the writer waits for it.
func TestCoalescing(t *testing.T) {
	g := newGate()
	o := NewOutbox(g)
	var writer sync.WaitGroup
	writer.Go(func() { o.send([]byte("a")) })
	awaitUntil(t, o.writes)
	for range 100 {
		o.send([]byte("b"))
	}
	if got := <-g.writes; string(got) != "a" {
		t.Errorf("first %q", got)
	}
	if got := <-g.writes; len(got) != 100 {
		t.Errorf("then %d octets", len(got))
	}
	writer.Wait()
}

// TestTurns: long bodies take turns, one piece each, and what is short goes before them. No write ends before
// whoever has a piece left has it in line, for turns are kept among those only.
func TestTurns(t *testing.T) {
	g := newGate()
	o := NewOutbox(g)
	piece := make([]byte, PieceMax)
	var senders sync.WaitGroup
	senders.Go(func() { o.send([]byte("x")) })
	awaitUntil(t, o.writes)
	const streams, pieces = 20, 5
	var sending atomic.Int32
	sending.Store(streams)
	allInLine := func() bool { parcels, _ := o.waits(); return parcels == int(sending.Load()) }
	for id := range uint64(streams) {
		senders.Go(func() {
			defer sending.Add(-1)
			var parcel Parcel
			for range pieces {
				if err := o.Ship(&parcel, id+1, 0, piece); err != nil {
					t.Error(err)
				}
			}
		})
	}
	awaitUntil(t, allInLine)
	short := AppendReset(nil, 99, CodeDone)
	o.send(short)
	<-g.writes
	var sent bytes.Buffer
	for number := uint64(2); sent.Len() < streams*pieces*(HeaderSize+PieceMax)+len(short); number++ {
		awaitUntil(t, func() bool { return o.writesBatch(number) && allInLine() })
		batch := <-g.writes
		if len(batch) > batchMax+HeaderSize+PieceMax {
			t.Errorf("%d octets in one write", len(batch))
		}
		sent.Write(batch)
	}
	senders.Wait()
	r, last := NewReader(&sent, nil), make(map[uint64]int)
	for n := 0; sent.Len() > 0 || r.start < r.end; n++ {
		f, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if (f.Type == TypeReset) != (n == 0) {
			t.Errorf("frame %d is a %d", n, f.Type)
		}
		if waited := n - last[f.Stream]; waited > 2*streams {
			t.Errorf("stream %d waited for %d frames", f.Stream, waited)
		}
		last[f.Stream] = n
	}
}

// TestOutboxFails: nobody waits for a connection that failed, and what was not taken is known.
func TestOutboxFails(t *testing.T) {
	g := newGate()
	o := NewOutbox(g)
	var senders sync.WaitGroup
	senders.Go(func() { o.send([]byte("x")) })
	awaitUntil(t, o.writes)
	o.Lock()
	later := o.Batch()
	o.Unlock()
	o.send([]byte("later"))
	senders.Go(func() {
		var parcel Parcel
		if err := o.Ship(&parcel, 1, 0, []byte("piece")); err == nil {
			t.Error("a piece was sent")
		}
	})
	awaitUntil(t, func() bool { parcels, _ := o.waits(); return parcels == 1 })
	ended := errors.New("over")
	o.Close(ended)
	senders.Wait()
	o.Lock()
	if !errors.Is(o.Err(), ended) || o.Taken(later) {
		t.Errorf("%v, taken %v", o.Err(), o.Taken(later))
	}
	o.Unlock()
	o.send(make([]byte, 10))
	if _, octets := o.waits(); octets != 0 {
		t.Error("a closed outbox gathers")
	}
}

// TestSlowReader: a side that reads nothing is given up before its queue is without bounds.
func TestSlowReader(t *testing.T) {
	g := newGate()
	o := NewOutbox(g)
	var writer sync.WaitGroup
	writer.Go(func() { o.send([]byte("x")) })
	awaitUntil(t, o.writes)
	for range queueMax>>20 + 1 {
		o.send(make([]byte, 1<<20))
	}
	writer.Wait()
	o.Lock()
	defer o.Unlock()
	if !errors.Is(o.Err(), errSlow) {
		t.Errorf("got %v", o.Err())
	}
}
