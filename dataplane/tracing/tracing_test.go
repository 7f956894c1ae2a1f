package tracing

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	otlp "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// patience bounds every wait of a test.
const patience = 10 * time.Second

func open(t *testing.T, collector string) *Tracer {
	t.Helper()
	tracer, err := Open(Config{Collector: collector, Sample: 1}, "p1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return tracer
}

// some is a request that was sent to a node once: two spans.
func some(tracer *Tracer) *Request {
	now := time.Now()
	return &Request{
		Own: tracer.Begin(Context{}), Began: now, Ended: now, Method: "GET", Status: 200,
		Tries: []Try{{Span: DrawSpan(), Began: now, Ended: now, Address: "127.0.0.1:1", Status: 200}},
	}
}

func closed(t *testing.T, tracer *Tracer, within time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	begun := time.Now()
	if tracer.Close(ctx); time.Since(begun) > within+patience {
		t.Errorf("closing took %v of %v", time.Since(begun), within)
	}
}

// TestCollectorThatFails: whatever a collector answers, spans are taken, or dropped and counted.
func TestCollectorThatFails(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("spans went to %s", r.Host)
	}))
	t.Cleanup(elsewhere.Close)
	f := func(name string, exported, dropped uint64, answer http.HandlerFunc) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			collector := httptest.NewServer(answer)
			defer collector.Close()
			tracer := open(t, collector.URL+"/")
			tracer.Request(some(tracer))
			tracer.Tunnel(&Tunnel{Own: tracer.Begin(Context{})})
			closed(t, tracer, patience)
			if got, lost := tracer.Exported().Load(), tracer.Dropped().Load(); got != exported || lost != dropped {
				t.Errorf("%d spans were taken and %d dropped, want %d and %d", got, lost, exported, dropped)
			}
		})
	}
	f("says nothing", 3, 0, func(http.ResponseWriter, *http.Request) {})
	f("fails", 0, 3, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	f("does not know the path", 0, 3, http.NotFound)
	f("answers garbage", 0, 3, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-protobuf")
		_, _ = io.WriteString(w, "\xff\xff\xff garbage")
	})
	f("answers no HTTP", 0, 3, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_, _ = io.WriteString(conn, "SSH-2.0-hello\r\n\r\n")
			_ = conn.Close()
		}
	})
	f("sends elsewhere", 0, 3, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	var asked atomic.Int32
	f("is busy at first", 3, 0, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			w.WriteHeader(503)
		}
	})
}

// partly answers that so many spans were not taken.
func partly(rejected int64) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		answer, _ := proto.Marshal(&otlp.ExportTraceServiceResponse{
			PartialSuccess: &otlp.ExportTracePartialSuccess{RejectedSpans: rejected, ErrorMessage: "of an odd kind"},
		})
		w.Header().Set("Content-Type", "application/x-protobuf")
		_, _ = w.Write(answer)
	}
}

// TestCollectorThatTakesSome: of a batch of two spans those are dropped that it rejects, and people hear how it is.
func TestCollectorThatTakesSome(t *testing.T) {
	f := func(answer http.HandlerFunc, dropped uint64, want string) {
		t.Helper()
		collector := httptest.NewServer(answer)
		defer collector.Close()
		var said strings.Builder
		tracer, err := Open(Config{Collector: collector.URL, Sample: 1}, "p1", slog.New(slog.NewTextHandler(&said, nil)))
		if err != nil {
			t.Fatal(err)
		}
		tracer.Request(some(tracer)) // alone: what comes behind it may be of another batch
		closed(t, tracer, patience)
		if got, lost := tracer.Exported().Load(), tracer.Dropped().Load(); got != 2-dropped || lost != dropped {
			t.Errorf("%d spans were taken and %d dropped, want %d", got, lost, dropped)
		}
		if got := said.String(); !strings.Contains(got, want) || !strings.Contains(got, "of an odd kind") || strings.Count(got, "\n") != 1 {
			t.Errorf("logged is %q, want %q", got, want)
		}
	}
	const all, most, none = "takes spans with a warning", "does not take all spans", "does not take spans"
	f(partly(0), 0, all)
	f(partly(1), 1, most)
	f(partly(2), 2, none)
	f(partly(1<<62), 2, none)
	f(partly(-1), 0, all)
	f(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"partialSuccess":{"rejectedSpans":"1","errorMessage":"of an odd kind"}}`)
	}, 1, most)
}

// TestCollectorThatTalks: of what a collector says no more is told than people can read.
func TestCollectorThatTalks(t *testing.T) {
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, strings.Repeat("\xff", 1<<20))
	}))
	defer collector.Close()
	var said strings.Builder
	tracer, err := Open(Config{Collector: collector.URL, Sample: 1}, "p1", slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	tracer.Request(some(tracer))
	closed(t, tracer, patience)
	if got := said.String(); !strings.Contains(got, "does not take spans") || len(got) > 8<<10 || tracer.Dropped().Load() != 2 {
		t.Errorf("logged are %d octets, %.200q; %d spans were dropped", len(got), got, tracer.Dropped().Load())
	}
}

// TestCollectorThatIsAway: nobody is there, and nobody notices.
func TestCollectorThatIsAway(t *testing.T) {
	collector := httptest.NewServer(http.NotFoundHandler())
	collector.Close()
	tracer := open(t, collector.URL)
	tracer.Request(some(tracer))
	closed(t, tracer, patience)
	if tracer.Exported().Load() != 0 || tracer.Dropped().Load() != 2 {
		t.Errorf("%d spans were dropped", tracer.Dropped().Load())
	}
}

// TestCollectorThatHangs: what finds no room is dropped, at once, and so is what is left when there is no more time.
func TestCollectorThatHangs(t *testing.T) {
	release := make(chan struct{})
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or the end of the connection would not show
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer collector.Close()
	defer close(release)
	tracer := open(t, collector.URL)
	const count = 2*queueMax + batchMax
	for range count {
		tracer.Request(some(tracer))
	}
	if dropped := tracer.Dropped().Load(); dropped < 2*(count-queueMax-batchMax) || dropped >= 2*count {
		t.Errorf("of %d spans %d were dropped", 2*count, dropped)
	}
	closed(t, tracer, 10*time.Millisecond)
	if exported, dropped := tracer.Exported().Load(), tracer.Dropped().Load(); exported != 0 || dropped != 2*count {
		t.Errorf("of %d spans %d were dropped, %d taken", 2*count, dropped, exported)
	}
}

// TestSpansAreSentInTime: without more of them to wait for.
func TestSpansAreSentInTime(t *testing.T) {
	t.Parallel()
	came := make(chan struct{}, 1)
	collector := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { came <- struct{}{} }))
	defer collector.Close()
	tracer := open(t, collector.URL)
	defer closed(t, tracer, patience)
	tracer.Request(some(tracer))
	select {
	case <-came:
	case <-time.After(patience):
		t.Error("the spans did not come")
	}
}

func TestText(t *testing.T) {
	for _, octets := range []string{"", "caf\xe9", "é", strings.Repeat("é", textMax), strings.Repeat("\xff", textMax+1)} {
		text := Text([]byte(octets))
		if !utf8.ValidString(text) || len(text) > 3*textMax || utf8.ValidString(octets) && len(octets) <= textMax && text != octets {
			t.Errorf("of %q is told %q", octets, text)
		}
	}
}

func TestConfigValidate(t *testing.T) {
	f := func(config Config, ok bool) {
		t.Helper()
		if err := config.Validate(); (err == nil) != ok {
			t.Errorf("%v: %v", config, err)
		}
	}
	f(Config{}, true)
	f(Config{Collector: "http://127.0.0.1:4318", Sample: 0.01}, true)
	f(Config{Collector: "https://otlp.example/otlp/", Sample: 1}, true)
	f(Config{Sample: -0.1}, false)
	f(Config{Sample: 1.1}, false)
	for _, bad := range []string{"127.0.0.1:4318", "localhost:4318", "grpc://h:4317", "http://", "http://:4318", "http://u:p@h", "http://h?x=1", "http://h#x", "http://h\n"} {
		f(Config{Collector: bad}, false)
	}
	off, err := Open(Config{Sample: 1}, "p1", nil)
	if off != nil || err != nil || off.Exported().Load() != 0 || off.Dropped().Load() != 0 {
		t.Errorf("without a collector there is %v (%v)", off, err)
	}
}
