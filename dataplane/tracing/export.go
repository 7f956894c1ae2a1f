package tracing

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/stead-io/stead/api/build"
)

const (
	// batchMax is how many spans are sent together, but for those of one more request.
	batchMax = 512
	// gatherTime is how long spans are gathered, unless there are as many.
	gatherTime = time.Second
	// exportTimeout is for the collector to take a batch; one that says that it is busy is asked again meanwhile.
	exportTimeout = 10 * time.Second
	retryFirst    = 500 * time.Millisecond
	retryMax      = 5 * time.Second
	// warnEvery keeps a collector that is away from filling the log.
	warnEvery = time.Minute
)

// Names that spans go by.
const (
	serviceName = "stead-proxy"
	scopeName   = "github.com/stead-io/stead/dataplane"
)

// exporter makes spans and sends them. To the SDK it is who draws ids, though they were drawn before, and who spans
// go to when they end.
type exporter struct {
	sink   sdk.SpanExporter
	http   *http.Transport
	tracer trace.Tracer
	batch  []sdk.ReadOnlySpan
	own    Context // of the span that is being made
	warned time.Time
}

func (e *exporter) open(collector, instance string) (err error) {
	e.http = http.DefaultTransport.(*http.Transport).Clone()
	e.sink, err = otlptracehttp.New(context.Background(),
		otlptracehttp.WithEndpointURL(strings.TrimSuffix(collector, "/")+"/v1/traces"),
		otlptracehttp.WithHTTPClient(&http.Client{Transport: e.http, Timeout: exportTimeout, CheckRedirect: refuseRedirect}),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{
			Enabled: true, InitialInterval: retryFirst, MaxInterval: retryMax, MaxElapsedTime: exportTimeout,
		}))
	if err != nil {
		return err
	}
	of, err := resourceOf(instance)
	if err != nil {
		return err
	}
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(e), sdk.WithIDGenerator(e), sdk.WithSampler(sdk.AlwaysSample()), sdk.WithResource(of))
	e.tracer = provider.Tracer(scopeName, trace.WithInstrumentationVersion(build.This().Version), trace.WithSchemaURL(semconv.SchemaURL))
	return nil
}

// refuseRedirect has spans go to no other address than the one that was configured.
func refuseRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// resourceOf says whose spans they are; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES may say more, or otherwise.
func resourceOf(instance string) (*resource.Resource, error) {
	own := resource.NewSchemaless(semconv.ServiceName(serviceName), semconv.ServiceVersion(build.This().Version), semconv.ServiceInstanceID(instance))
	return resource.Merge(own, resource.Environment())
}

// run makes spans and sends them until the tracer is closed, and then those that are left.
func (t *Tracer) run() {
	defer close(t.stopped)
	gathered := time.NewTimer(gatherTime)
	defer gathered.Stop()
	for open := true; open; {
		select {
		case first := <-t.queue:
			gathered.Reset(gatherTime)
			open = t.gather(first, gathered.C)
			t.export()
		case <-t.stop:
			open = false
		}
	}
	t.sendRest()
	_ = t.out.sink.Shutdown(t.ctx)
	t.out.http.CloseIdleConnections()
}

// gather makes spans until there are enough of them, or it was long enough, or the tracer is closed: false.
func (t *Tracer) gather(first record, enough <-chan time.Time) bool {
	for r := first; ; {
		r.write(&t.out)
		if len(t.out.batch) >= batchMax {
			return true
		}
		select {
		case r = <-t.queue:
		case <-enough:
			return true
		case <-t.stop:
			return false
		}
	}
}

// sendRest sends what is left in the queue.
func (t *Tracer) sendRest() {
	for {
		select {
		case r := <-t.queue:
			r.write(&t.out)
			if len(t.out.batch) >= batchMax {
				t.export()
			}
		default:
			t.export()
			return
		}
	}
}

// export sends what was gathered; what the collector does not take is dropped.
func (t *Tracer) export() {
	count := uint64(len(t.out.batch))
	if count == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(t.ctx, exportTimeout)
	defer cancel()
	err := t.out.sink.ExportSpans(ctx, t.out.batch)
	clear(t.out.batch)
	t.out.batch = t.out.batch[:0]
	lost := rejected(err, count)
	t.exported.Add(count - lost)
	t.dropped.Add(lost)
	if err != nil {
		t.warn(lost, count, err)
	}
}

// rejected is how many spans of a batch the collector did not take. Where it took some of them, or all with a warning
// (OTLP, "Partial Success"), the error has that number in a field, and is of a type that the SDK keeps to itself.
func rejected(err error, of uint64) uint64 {
	if err == nil {
		return 0
	}
	var told interface {
		error
		As(target any) bool
	}
	if !errors.As(err, &told) {
		return of
	}
	if partial := reflect.ValueOf(told); partial.Kind() == reflect.Struct {
		if items := partial.FieldByName("RejectedItems"); items.IsValid() && items.CanInt() {
			return min(uint64(max(0, items.Int())), of)
		}
	}
	return of
}

// warn tells people what the collector has to say, now and then.
func (t *Tracer) warn(lost, of uint64, err error) {
	now := time.Now()
	if now.Sub(t.out.warned) < warnEvery {
		return
	}
	t.out.warned = now
	what := "the collector does not take spans"
	switch {
	case lost == 0:
		what = "the collector takes spans with a warning"
	case lost < of:
		what = "the collector does not take all spans"
	}
	t.logger.Warn(what, "error", Text([]byte(err.Error())), "dropped", t.dropped.Load())
}

// span makes a span of what is over. A fault is what made it fail, as error.type has it; empty: nothing.
func (e *exporter) span(parent trace.SpanContext, own Context, name string, began, ended time.Time, fault string, options ...trace.SpanStartOption) {
	e.own = own
	ctx := trace.ContextWithSpanContext(context.Background(), parent)
	_, span := e.tracer.Start(ctx, name, append(options, trace.WithTimestamp(began))...)
	if fault != "" {
		span.SetAttributes(semconv.ErrorTypeKey.String(fault))
		span.SetStatus(codes.Error, "")
	}
	span.End(trace.WithTimestamp(ended))
}

// spanContext is the SDK's word for a place; of no valid one if there is none.
func spanContext(of Context, remote bool) trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID(of.Trace), SpanID: trace.SpanID(of.Span), TraceFlags: trace.TraceFlags(of.Flags), Remote: remote,
	})
}

// NewIDs and NewSpanID answer the SDK what was drawn when the span began.
func (e *exporter) NewIDs(context.Context) (trace.TraceID, trace.SpanID) {
	return trace.TraceID(e.own.Trace), trace.SpanID(e.own.Span)
}

// NewSpanID is NewIDs within a trace.
func (e *exporter) NewSpanID(context.Context, trace.TraceID) trace.SpanID {
	return trace.SpanID(e.own.Span)
}

// OnStart is called by the SDK.
func (e *exporter) OnStart(context.Context, sdk.ReadWriteSpan) {}

// OnEnd takes a span that is whole.
func (e *exporter) OnEnd(span sdk.ReadOnlySpan) { e.batch = append(e.batch, span) }

// Shutdown and ForceFlush are the tracer's to do.
func (e *exporter) Shutdown(context.Context) error { return nil }

// ForceFlush does nothing: see Shutdown.
func (e *exporter) ForceFlush(context.Context) error { return nil }
