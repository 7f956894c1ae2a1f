package dataplane

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"hash/fnv"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/nodesvc/mux"
)

// pipeline is a proxy and its node, that stay from one client to the next.
type pipeline struct {
	proxy  *Proxy
	alarm  *alarm
	settle func() (octets [][]byte, requests []reading)
}

// pipelineView has a rule of every kind, and sends on what has no key.
func pipelineView(t testing.TB, address string) *ring.View {
	rules := append(slices.Clone(testRules), "cookie:sid", "host:{key}.example.com", "json:/user/id")
	return ruled(t, api.NoKeyAny, rules, up("n1", address))
}

// plainPipeline is one to a node of HTTP/1.1.
func plainPipeline(t testing.TB, script func(io.Writer, int, *http.Request) bool, edit ...func(*Config)) *pipeline {
	node, alarm := startWitness(t, script), new(alarm)
	proxy, _ := start(t, pipelineView(t, node.listener.Addr().String()), append([]func(*Config){defaults, alarm.set}, edit...)...)
	node.before(proxy)
	return &pipeline{proxy: proxy, alarm: alarm, settle: node.settle}
}

// muxedPipeline is one to a node of the SDK, whose handler tells what it saw.
func muxedPipeline(t testing.TB) *pipeline {
	var mu sync.Mutex
	var requests []reading
	alarm := new(alarm)
	streams := mux.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		read, err := readingOf(r)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		mu.Lock()
		defer mu.Unlock()
		requests = append(requests, read)
		w.Header().Set(mark, strconv.Itoa(len(requests)))
	}), slog.New(alarm))
	server := httptest.NewUnstartedServer(streams)
	server.Config.DisableGeneralOptionsHandler = true
	server.Start()
	t.Cleanup(func() {
		streams.Close()
		server.Close()
	})
	proxy, _ := start(t, pipelineView(t, server.Listener.Addr().String()), defaults, auto, alarm.set)
	p := &pipeline{proxy: proxy, alarm: alarm, settle: func() ([][]byte, []reading) {
		mu.Lock()
		defer mu.Unlock()
		seen := requests
		requests = nil
		return nil, seen
	}}
	meet(t, proxy)
	p.settle()
	return p
}

// alarm is a logger that remembers errors: a panic of a handler is one.
type alarm struct{ said atomic.Pointer[string] }

func (a *alarm) set(config *Config) { config.Logger = slog.New(a) }

func (a *alarm) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }
func (a *alarm) WithAttrs([]slog.Attr) slog.Handler               { return a }
func (a *alarm) WithGroup(string) slog.Handler                    { return a }

func (a *alarm) Handle(_ context.Context, record slog.Record) error {
	text := record.Message
	record.Attrs(func(attr slog.Attr) bool {
		text += " " + attr.String()
		return true
	})
	a.said.Store(&text)
	return nil
}

// exchanged is what became of a client's octets.
type exchanged struct {
	got      []byte
	err      error     // how that ended, if not as it should
	octets   [][]byte  // what came to the node, by connection
	requests []reading // that were whole
	unread   bool      // the node found no URL in a target, "%zz" for one, and said so
	left     bool      // the client was taken for gone, or slow: this machine is busy
}

// run sends a client's octets, and no more, and reads all that comes.
func (p *pipeline) run(t *testing.T, octets []byte) *exchanged {
	t.Helper()
	client := clientOf(octets)
	conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: client}}).Dial("tcp", p.proxy.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = conn.Write(octets) // if it is not taken, an answer says why
	_ = conn.(*net.TCPConn).CloseWrite()
	x := &exchanged{}
	if x.got, x.err = io.ReadAll(conn); errors.Is(x.err, os.ErrDeadlineExceeded) {
		t.Fatalf("%q got %q and no end", octets, x.got)
	}
	x.octets, x.requests = p.settle()
	x.requests = slices.DeleteFunc(x.requests, func(r reading) bool {
		return !slices.Equal(r.fields["x-forwarded-for"], []string{client.String()})
	})
	x.left = bytes.Contains(x.got, []byte(`while its answer was awaited`))
	if said := p.alarm.said.Swap(nil); said != nil {
		t.Fatalf("%q: %s", octets, *said)
	}
	return x
}

// clientOf is an address for the client of these octets alone: a client that was taken for gone, on a busy machine, may
// have its request reach a node of the SDK while the next one is served.
func clientOf(octets []byte) net.IP {
	sum := fnv.New32a()
	_, _ = sum.Write(octets)
	last := sum.Sum(nil)
	return net.IPv4(127, 1, last[2], last[3])
}

// checkNode sees that the node's octets have one reading, which is among what the client asked for.
func (x *exchanged) checkNode(t *testing.T, asked []reading) {
	t.Helper()
	whole := 0
	for _, octets := range x.octets {
		here, rest, err := byNetHTTP(octets)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			if text := err.Error(); !strings.Contains(text, "invalid URL escape") && !strings.Contains(text, "parse ") {
				t.Fatalf("the node got %q: net/http says %v", octets, err)
			}
			x.unread = true
			continue
		}
		there, otherRest, otherErr := byFastHTTP(octets)
		if len(here) != len(there) || !bytes.Equal(rest, otherRest) {
			t.Fatalf("the node got %q: net/http finds\n%swith %q left (%v), fasthttp\n%swith %q left (%v)",
				octets, names(here), rest, err, names(there), otherRest, otherErr)
		}
		for i := range here {
			if !here[i].equal(&there[i]) {
				t.Fatalf("the node got %q: net/http reads\n%sfasthttp\n%s", octets, names(here[i:i+1]), names(there[i:i+1]))
			}
		}
		whole += len(here)
	}
	if x.unread {
		return
	}
	if whole != len(x.requests) {
		t.Fatalf("the node found %d requests in %q", len(x.requests), x.octets)
	}
	x.checkAsked(t, asked)
}

// checkAsked sees that the requests are among what was asked for, in that order.
func (x *exchanged) checkAsked(t *testing.T, asked []reading) {
	t.Helper()
	for i := range x.requests {
		request := &x.requests[i]
		at := slices.IndexFunc(asked, func(a reading) bool {
			return a.method == masked(request.method) && a.target == masked(request.target) && a.body == masked(request.body)
		})
		if at < 0 {
			t.Fatalf("nobody asked for %sof %q", names(x.requests[i:i+1]), x.octets)
		}
		if stamps := len(request.fields["stead-key"]) + len(request.fields["stead-slot"]) + len(request.fields["stead-epoch"]); stamps != 0 && stamps != 3 {
			t.Fatalf("the node got %d stamps: %s", stamps, names(x.requests[i:i+1]))
		}
		asked = asked[at+1:]
	}
}

// checkClient sees that the client got whole answers, those of the node in their order, and none behind one that
// is said to be the last.
func (x *exchanged) checkClient(t *testing.T, asked []reading) {
	t.Helper()
	if x.err != nil {
		t.Fatalf("the client got %q and %v", x.got, x.err)
	}
	reader, marks := bufio.NewReader(bytes.NewReader(x.got)), 0
	for i, last := 0, false; ; {
		if _, err := reader.Peek(1); err != nil {
			break
		}
		if last {
			t.Fatalf("behind the last answer the client got more: %q", x.got)
		}
		method := http.MethodGet
		if i < len(asked) {
			method = asked[i].method
		}
		response, body := x.nextAnswer(t, reader, method)
		if response.StatusCode < 200 {
			continue
		}
		i++
		last = response.Close
		if (strings.Contains(body, `"code":"bad_request"`) || strings.Contains(body, `"code":"client_gone"`)) && !last {
			t.Fatalf("a refusal keeps the connection: %q", x.got)
		}
		if number := response.Header.Get(mark); number != "" {
			if marks++; number != strconv.Itoa(marks) {
				t.Fatalf("the client got the answer to request %s for %d: %q", number, marks, x.got)
			}
		}
	}
	if marks != len(x.requests) && !x.left {
		t.Fatalf("the node answered %d requests, the client got %q", len(x.requests), x.got)
	}
}

// nextAnswer reads an answer. A refusal that ends the connection has a body if it was not seen that HEAD was asked for.
func (x *exchanged) nextAnswer(t *testing.T, reader *bufio.Reader, method string) (*http.Response, string) {
	t.Helper()
	response, err := http.ReadResponse(reader, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("the client got %q: %v", x.got, err)
	}
	body, err := io.ReadAll(response.Body)
	if refusal := response.Header.Get("Content-Type") == api.ProblemType && response.Close; refusal {
		if err == io.ErrUnexpectedEOF && len(body) == 0 {
			return response, ""
		}
		if method == http.MethodHead {
			body, _ = io.ReadAll(reader)
			return response, string(body)
		}
	}
	if err != nil {
		t.Fatalf("the client got %q: %v", x.got, err)
	}
	return response, string(body)
}
