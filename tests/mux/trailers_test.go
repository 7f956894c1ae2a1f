package mux_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/dataplane/forward"
	"github.com/stead-io/stead/dataplane/wire"
)

// trailing is a source with lines behind its end.
type trailing struct {
	io.Reader
	lines string
}

func (s trailing) Trailers() []byte { return []byte(s.lines) }

// postTrailed sends a body in chunks with trailers behind it.
func postTrailed(t *testing.T, body, fields, lines string) *forward.Request {
	t.Helper()
	request := post(t, "/", trailing{strings.NewReader(body), lines}, -1)
	request.Head = []byte("POST / HTTP/1.1\r\nHost: h\r\n" + fields + "Transfer-Encoding: chunked\r\n\r\n")
	return request
}

// TestRequestTrailers: a handler has them once it has read the body, announced or not, behind bodies that were there
// before the request went out and those that came beside it.
func TestRequestTrailers(t *testing.T) {
	each(t, func(w http.ResponseWriter, r *http.Request) {
		before := fmt.Sprint(r.Trailer)
		n, err := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprintf(w, "%s %d %v %v %v", before, n, err, r.Trailer, r.Header["Trailer"])
	}, func(t *testing.T, by upstream, to forward.Target) {
		f := func(octets int, fields, lines, want string) {
			t.Helper()
			body := strings.Repeat("x", octets)
			whole := postTrailed(t, body, fields, lines)
			if _, err := whole.Body.LoadWhole(1 << 20 >> 1); err != nil {
				t.Fatal(err)
			}
			for _, request := range []*forward.Request{postTrailed(t, body, fields, lines), whole} {
				if _, got, err := fetch(by, to, request); got != want || err != nil {
					t.Errorf("%d octets, %.40q: got %.200q, want %.200q: %v", octets, lines, got, want, err)
				}
			}
		}
		f(4, "", "X-Sum: 42\r\n", "map[] 4 <nil> map[X-Sum:[42]] []")
		f(0, "", "X-Sum: 42\r\n", "map[] 0 <nil> map[X-Sum:[42]] []")
		f(50_000, "Trailer: x-sum, Other\r\n", "X-Sum: 42\r\nx-sum: 43\r\n", "map[Other:[] X-Sum:[]] 50000 <nil> map[Other:[] X-Sum:[42 43]] []")
		f(300_000, "", "A: b\r\nLong: "+strings.Repeat("l", 2000)+"\r\n", "map[] 300000 <nil> map[A:[b] Long:["+strings.Repeat("l", 2000)+"]] []")
		f(4, "", "", "map[] 4 <nil> map[] []")
	})
}

// TestAnswerTrailers: what a handler leaves behind its answer reaches the client, in either of net/http's ways, but
// for what must not stand there.
func TestAnswerTrailers(t *testing.T) {
	announced := func(w http.ResponseWriter, body string, flush bool) {
		w.Header().Set("Trailer", "X-Sum, Content-Length")
		_, _ = io.WriteString(w, body)
		if flush {
			_ = http.NewResponseController(w).Flush()
		}
		w.Header().Set("X-Sum", "42")
		w.Header().Set("Content-Length", "9")
	}
	handlers := map[string]http.HandlerFunc{
		"/announced": func(w http.ResponseWriter, _ *http.Request) { announced(w, "body", false) },
		"/flushed":   func(w http.ResponseWriter, _ *http.Request) { announced(w, "body", true) },
		"/long":      func(w http.ResponseWriter, _ *http.Request) { announced(w, strings.Repeat("l", 100_000), false) },
		"/empty":     func(w http.ResponseWriter, _ *http.Request) { announced(w, "", false) },
		"/unset": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			_, _ = io.WriteString(w, "body")
		},
		"/unannounced": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "body")
			_ = http.NewResponseController(w).Flush()
			for _, name := range []string{"X-Sum", "A", "Set-Cookie", "Content-Type", "Stead-Epoch", "Vary", "Transfer-Encoding"} {
				w.Header().Add(http.TrailerPrefix+name, "1")
				w.Header().Add(http.TrailerPrefix+name, "2")
			}
		},
		"/known": func(w http.ResponseWriter, _ *http.Request) { // before the head: so no length is announced
			w.Header().Set(http.TrailerPrefix+"A", "b\r\nB: c")
			_, _ = io.WriteString(w, "body")
		},
		"/too-late": func(w http.ResponseWriter, _ *http.Request) { // behind an answer of a known length none can stand
			_, _ = io.WriteString(w, "body")
			w.Header().Set(http.TrailerPrefix+"A", "b")
		},
		"/with-length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "4")
			w.Header().Set("Trailer", "A")
			_, _ = io.WriteString(w, "body")
			w.Header().Set("A", "b")
		},
		"/none": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "A")
			w.WriteHeader(http.StatusNoContent)
			w.Header().Set("A", "b")
		},
	}
	each(t, func(w http.ResponseWriter, r *http.Request) {
		if handle := handlers[r.URL.Path]; handle != nil {
			handle(w, r)
		}
	}, func(t *testing.T, by upstream, to forward.Target) {
		f := func(path, wantFields, wantTrailers string) {
			t.Helper()
			for _, method := range []string{"GET", "HEAD"} {
				request := get(path)
				request.Head, request.HeadOnly = []byte(method+" "+path+" HTTP/1.1\r\nHost: h\r\n\r\n"), method == "HEAD"
				fields, trailers := trailed(t, by, to, request)
				if method == "HEAD" {
					wantTrailers = ""
				} else if fields != wantFields {
					t.Errorf("%s: fields %q, want %q", path, fields, wantFields)
				}
				if trailers != wantTrailers {
					t.Errorf("%s %s: trailers %q, want %q", method, path, trailers, wantTrailers)
				}
			}
		}
		for _, path := range []string{"/announced", "/flushed", "/long", "/empty"} {
			f(path, "Trailer: X-Sum, Content-Length|Transfer-Encoding: chunked", "X-Sum: 42\r\n")
		}
		f("/unset", "Trailer: X-Sum|Transfer-Encoding: chunked", "")
		_, got := trailed(t, by, to, get("/unannounced"))
		if want := "A: 1\r\nA: 2\r\nX-Sum: 1\r\nX-Sum: 2\r\n"; got != want {
			t.Errorf("unannounced: trailers %q, want %q", got, want)
		}
		_, got = trailed(t, by, to, get("/known"))
		if want := "A: b  B: c\r\n"; got != want {
			t.Errorf("known: trailers %q, want %q", got, want)
		}
		f("/too-late", "Content-Length: 4", "")
		f("/with-length", "Content-Length: 4|Trailer: A", "")
		f("/none", "Trailer: A", "")
	})
}

// trailed reads an answer to its end: the fields that frame it, and its trailers.
func trailed(t *testing.T, by upstream, to forward.Target, request *forward.Request) (fields, trailers string) {
	t.Helper()
	answer, err := by.Send(to, request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Close()
	var lines []string
	for _, field := range answer.Head().Fields {
		if slices.Contains([]wire.Kind{wire.Trailer, wire.ContentLength, wire.TransferEncoding}, field.Kind) {
			lines = append(lines, strings.TrimSpace(string(field.Line)))
		}
	}
	for err == nil {
		_, err = answer.Next()
	}
	if err != io.EOF {
		t.Error(err)
	}
	return strings.Join(sorted(lines), "|"), string(answer.Trailers())
}

// TestTrailersTooLong: an answer with more behind its body than may stand there is cut short.
func TestTrailersTooLong(t *testing.T) {
	each(t, func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush()
		w.Header().Set(http.TrailerPrefix+"A", strings.Repeat("x", 9<<10))
	}, func(t *testing.T, by upstream, to forward.Target) {
		if _, _, err := fetch(by, to, get("/")); err == nil {
			t.Error("it looks whole")
		}
	})
}

// TestInterimAnswersWithoutEnd: a handler that never comes to its answer is given up in time.
func TestInterimAnswersWithoutEnd(t *testing.T) {
	ended := make(chan struct{}, 1)
	each(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/never" {
			return
		}
		for r.Context().Err() == nil {
			w.WriteHeader(http.StatusProcessing)
		}
		ended <- struct{}{}
	}, func(t *testing.T, by upstream, to forward.Target) {
		request := get("/never")
		request.Deadline = time.Now().Add(100 * time.Millisecond)
		if _, _, err := fetch(by, to, request); stageOf(err) != forward.TimedOut {
			t.Errorf("got %v", err)
		}
		await(t, ended)
	})
}

// hinted is a client that notes the interim answers it gets.
type hinted struct {
	leaver
	got chan string
}

func (h *hinted) Interim(head *wire.Answer) {
	var lines []string
	for _, field := range head.Fields {
		lines = append(lines, strings.TrimSpace(string(field.Line)))
	}
	h.got <- string(head.Reason) + " " + strings.Join(lines, "|")
}

// TestInterimAnswers: they come while the handler goes on, each once, and none of them asks for a body.
func TestInterimAnswers(t *testing.T) {
	proceed := make(chan struct{})
	each(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/hints" {
			return
		}
		w.Header().Set("Link", "</a>; rel=preload")
		w.Header().Set("Content-Length", "2")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusProcessing)
		<-proceed
		_, _ = io.Copy(w, r.Body)
		w.WriteHeader(http.StatusEarlyHints) // too late
	}, func(t *testing.T, by upstream, to forward.Target) {
		client := &hinted{got: make(chan string, 8)}
		request := post(t, "/hints", strings.NewReader("ok"), 2)
		request.Client = client
		done := make(chan error, 1)
		go func() {
			status, body, err := fetch(by, to, request)
			if status != http.StatusOK || body != "ok" {
				err = fmt.Errorf("got %d %q, %w", status, body, err)
			}
			done <- err
		}()
		for _, status := range []string{"103 Early Hints", "102 Processing"} {
			if got, want := await(t, client.got), status+" Link: </a>; rel=preload"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		proceed <- struct{}{}
		if err := await(t, done); err != nil {
			t.Error(err)
		}
		if len(client.got) > 0 {
			t.Errorf("then came %q", <-client.got)
		}
	})
}
