// Package tracing makes OpenTelemetry spans of requests and sends them to a collector.
//
// It owns W3C Trace Context, the choice of traces that are recorded, the form of spans, and their way from
// whoever answers requests to a collector: a queue that is full takes no more, and nobody waits for a
// collector. It does not own what is told of a request. Its invariants: a span is taken by the collector, or
// dropped and counted; OpenTelemetry is imported here alone, and runs in one goroutine, behind the queue.
package tracing

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
)

// SampleDefault is the share of traces begun here that are recorded, unless a Config says otherwise.
const SampleDefault = 1

// queueMax is how many requests and tunnels wait to be made spans of; what finds no room is dropped.
const queueMax = 2048

// Config of a Tracer.
type Config struct {
	// Collector is the base URL of whatever takes OTLP over HTTP; what it is sent goes to /v1/traces below. Empty:
	// there are no spans.
	Collector string
	// Sample is the share of traces begun here that are recorded, from 0 to 1. One that began elsewhere is recorded
	// if its sampled flag is set.
	Sample float64
}

// Validate reports the first setting that cannot stand.
func (c Config) Validate() error {
	if !(c.Sample >= 0 && c.Sample <= 1) {
		return fmt.Errorf("the share of traces that are recorded is from 0 to 1, not %v", c.Sample)
	}
	if c.Collector == "" {
		return nil
	}
	base, err := url.Parse(c.Collector)
	switch {
	case err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Hostname() == "":
		return errors.New("spans are sent to a URL such as http://127.0.0.1:4318")
	case base.User != nil || base.RawQuery != "" || base.Fragment != "":
		return errors.New("the URL that spans are sent to has no user, query or fragment: it is shown to people")
	}
	return nil
}

// Tracer takes requests and tunnels that are over. Its methods may be called by anybody at any time.
type Tracer struct {
	logger            *slog.Logger
	boundary          uint64 // traces whose id is below are recorded
	queue             chan record
	exported, dropped atomic.Uint64

	ctx     context.Context // of all exports
	cancel  context.CancelFunc
	stop    chan struct{}
	stopped chan struct{}
	once    sync.Once

	out exporter // for the goroutine that runs it alone
}

// record is what spans are made of.
type record interface {
	spans() int // how many
	write(*exporter)
}

// Open starts a tracer, whose spans name the process by its id; nil if it is off. The collector need not be there.
func Open(config Config, instance string, logger *slog.Logger) (*Tracer, error) {
	if config.Collector == "" {
		return nil, nil
	}
	t := &Tracer{
		logger: logger, boundary: boundary(config.Sample), queue: make(chan record, queueMax),
		stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	if err := t.out.open(config.Collector, instance); err != nil {
		return nil, fmt.Errorf("cannot send spans: %w", err)
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	go t.run()
	return t, nil
}

// boundary is that of a share of all ids, which are compared without their lowest bit.
func boundary(sample float64) uint64 { return uint64(sample * (1 << 63)) }

// Begin draws the place of a request, whose parent is not valid where its trace begins here.
func (t *Tracer) Begin(parent Context) Context {
	if parent.Valid() {
		return parent.At(DrawSpan())
	}
	own := Context{Trace: drawTrace(), Span: DrawSpan()}
	if binary.BigEndian.Uint64(own.Trace[8:])>>1 < t.boundary {
		own.Flags = Sampled
	}
	return own
}

// Request takes a request that is over. It never waits.
func (t *Tracer) Request(r *Request) { t.take(r) }

// Tunnel takes a tunnel that is over. It never waits.
func (t *Tracer) Tunnel(j *Tunnel) { t.take(j) }

func (t *Tracer) take(r record) {
	select {
	case t.queue <- r:
	default:
		t.dropped.Add(uint64(r.spans()))
	}
}

// Exported counts the spans that the collector took. A tracer that is off has none.
func (t *Tracer) Exported() *atomic.Uint64 {
	if t == nil {
		return new(atomic.Uint64)
	}
	return &t.exported
}

// Dropped counts the spans that are lost: there was no room for them, or the collector did not take them.
func (t *Tracer) Dropped() *atomic.Uint64 {
	if t == nil {
		return new(atomic.Uint64)
	}
	return &t.dropped
}

// Close sends what is left, until the context ends. What comes later is lost.
func (t *Tracer) Close(ctx context.Context) {
	t.once.Do(func() { close(t.stop) })
	end := context.AfterFunc(ctx, t.cancel)
	defer end()
	<-t.stopped
	t.cancel()
}
