package dataplane

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	otlp "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	span "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collector is an OpenTelemetry collector that keeps what it is sent.
type collector struct {
	*httptest.Server

	mu       sync.Mutex
	resource []string // what is said of whose spans they are, and by what scope
	spans    []*span.Span
}

func startCollector(t testing.TB) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var request otlp.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &request)
		}
		if err != nil || r.Method != "POST" || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("the collector got %s %s, %v: %v", r.Method, r.URL, r.Header, err)
		}
		c.take(&request)
		answer, _ := proto.Marshal(&otlp.ExportTraceServiceResponse{})
		w.Header().Set("Content-Type", "application/x-protobuf")
		_, _ = w.Write(answer)
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) take(request *otlp.ExportTraceServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range request.ResourceSpans {
		for _, scope := range of.ScopeSpans {
			c.resource = append(attributes(of.Resource.Attributes), scope.Scope.Name)
			c.spans = append(c.spans, scope.Spans...)
		}
	}
}

// traced has a proxy of start send its spans to the collector.
func (c *collector) traced(sample float64) func(*Config) {
	return func(config *Config) { config.Tracing.Collector, config.Tracing.Sample = c.URL, sample }
}

// all closes a proxy, which has it send what it has, and returns all spans in the order they began.
func (c *collector) all(t *testing.T, proxy *Proxy) []*span.Span {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := proxy.Close(ctx); err != nil {
		t.Errorf("cannot close: %v", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.SortStableFunc(c.spans, func(a, b *span.Span) int { return int(int64(a.StartTimeUnixNano) - int64(b.StartTimeUnixNano)) })
	return c.spans
}

// attributes are pairs as text, but for those that differ from run to run.
func attributes(pairs []*common.KeyValue) (texts []string) {
	for _, pair := range pairs {
		switch value := pair.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			texts = append(texts, pair.Key+"="+value.StringValue)
		case *common.AnyValue_IntValue:
			if !strings.HasSuffix(pair.Key, ".port") {
				texts = append(texts, fmt.Sprint(pair.Key, "=", value.IntValue))
			}
		}
	}
	slices.Sort(texts)
	return texts
}

// telling is a span for people: its kind and name, how it came out, and what is said of it.
func telling(s *span.Span) string {
	kind := strings.ToLower(strings.TrimPrefix(s.Kind.String(), "SPAN_KIND_"))
	outcome := "ok"
	if s.Status.GetCode() == span.Status_STATUS_CODE_ERROR {
		outcome = "failed"
	}
	return fmt.Sprint(kind, " ", s.Name, " ", outcome, " ", strings.Join(attributes(s.Attributes), " "))
}

// traceparent is what a span's child is told.
func traceparent(s *span.Span) string {
	return fmt.Sprintf("traceparent: 00-%x-%x-01\r\n", s.TraceId, s.SpanId)
}
