package peer

import (
	"encoding/binary"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// counter is a handler that counts, and tells what urgent frames were on their way.
type counter struct {
	linked  chan Hello
	frames  atomic.Int64
	expects atomic.Int64
	window  chan struct{} // has a token for each frame on its way; nil: nobody counts
	all     chan struct{}
	delays  []time.Duration // of urgent frames that carry the time
}

func newCounter() *counter { return &counter{linked: make(chan Hello, 1), all: make(chan struct{}, 1)} }

func (c *counter) Linked(from Hello) { c.linked <- from }
func (c *counter) Lost(Hello)        {}

const kindTimed = 2

func (c *counter) Receive(_ Hello, kind uint8, body []byte) {
	if kind == kindTimed {
		c.delays = append(c.delays, time.Duration(time.Now().UnixNano()-int64(binary.BigEndian.Uint64(body))))
	}
	if c.window != nil {
		<-c.window
	}
	if c.frames.Add(1) == c.expects.Load() {
		c.all <- struct{}{}
	}
}

// linkedTo is a node a that is linked with b, whose handler is hear.
func linkedTo(b *testing.B, hear *counter) *Links {
	sends := newCounter()
	from, _ := overTCP(b, sends, hear)
	<-sends.linked
	<-hear.linked
	return from
}

// Updates of a few hundred slots: so many frames are on their way at most.
const window = 1024

func BenchmarkSmallFrames(b *testing.B) {
	hear := newCounter()
	hear.window = make(chan struct{}, window)
	from := linkedTo(b, hear)
	body := make([]byte, 150)
	hear.expects.Store(int64(b.N))
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		hear.window <- struct{}{}
		if err := from.Send("b", 1, body); err != nil {
			b.Fatal(err)
		}
	}
	<-hear.all
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
}

// Four senders of bulk, and an urgent frame every millisecond.
func BenchmarkBulkBesideUrgent(b *testing.B) {
	hear := newCounter()
	from := linkedTo(b, hear)
	b.SetBytes(BulkMax)
	b.SetParallelism(2)
	stop, stopped := make(chan struct{}), make(chan struct{})
	var urgent int64
	go func() {
		defer close(stopped)
		for tick := time.NewTicker(time.Millisecond); ; urgent++ {
			select {
			case <-stop:
				return
			case <-tick.C:
				_ = from.Send("b", kindTimed, binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixNano())))
			}
		}
	}()
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		body := make([]byte, BulkMax)
		for p.Next() {
			if err := from.SendBulk(b.Context(), "b", 1, body); err != nil {
				b.Error(err)
			}
		}
	})
	b.StopTimer()
	close(stop)
	<-stopped
	hear.expects.Store(urgent + int64(b.N) + 1)
	_ = from.Send("b", 1, nil)
	<-hear.all
	reportDelays(b, hear.delays)
}

func reportDelays(b *testing.B, delays []time.Duration) {
	if len(delays) == 0 {
		return
	}
	slices.Sort(delays)
	b.ReportMetric(float64(delays[len(delays)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(delays[len(delays)*99/100].Microseconds()), "p99-µs")
}
