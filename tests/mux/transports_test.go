package mux_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stead-io/stead/dataplane/forward"
)

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_, _ = fmt.Fprintf(w, "%s %s %s", r.Method, r.URL, body)
}

// each runs a test over both transports: what a handler and a client see is the same.
func each(t *testing.T, handler http.HandlerFunc, test func(t *testing.T, by upstream, to forward.Target)) {
	n := serve(t, handler)
	ways := muxed(t, n)
	t.Run("http", func(t *testing.T) { test(t, ways.http, n.target()) })
	t.Run("mux", func(t *testing.T) {
		before := ways.mux.Stats.Requests.Load()
		test(t, ways.mux, n.target())
		if ways.mux.Stats.Requests.Load() == before {
			t.Error("nothing went by mux")
		}
	})
}

// TestManyAtATime: each of many requests gets its own answer.
func TestManyAtATime(t *testing.T) {
	n := serve(t, echo)
	ways := muxed(t, n)
	var clients sync.WaitGroup
	for c := range 32 {
		clients.Go(func() {
			for i := range 20 {
				path, body := fmt.Sprintf("/%d/%d", c, i), strings.Repeat("b", c*i*20)
				length := int64(len(body))
				if i%2 == 1 {
					length = -1
				}
				_, got, err := fetch(ways.mux, n.target(), post(t, path, strings.NewReader(body), length))
				if want := "POST " + path + " " + body; got != want || err != nil {
					t.Errorf("%s: %d octets, want %d: %v", path, len(got), len(want), err)
				}
			}
		})
	}
	clients.Wait()
	if requests := ways.mux.Stats.Requests.Load(); requests < 32*20 {
		t.Errorf("%d went by mux", requests)
	}
}

// TestAnswers: what handlers do, and what comes of it.
func TestAnswers(t *testing.T) {
	handlers := map[string]http.HandlerFunc{
		"/nothing": func(http.ResponseWriter, *http.Request) {},
		"/short":   func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>short") },
		"/status":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) },
		"/empty":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"/same": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Etag", `"x"`)
			w.WriteHeader(http.StatusNotModified)
		},
		"/fields": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/x")
			w.Header()["X-Many"] = []string{"a", "b\r\nX-Evil: 1"}
			w.Header().Set("Connection", "close")
			w.Header().Set("Date", "then")
			w.WriteHeader(http.StatusAccepted)
			w.Header().Set("X-Late", "1")
			_, _ = io.WriteString(w, "ok")
		},
		"/announced": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "40000")
			for range 4 {
				_, _ = w.Write(bytes.Repeat([]byte("y"), 10000))
			}
		},
		"/long": func(w http.ResponseWriter, _ *http.Request) {
			for range 100 {
				_, _ = w.Write(bytes.Repeat([]byte("z"), 4321))
			}
		},
		"/overrun": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "2")
			if _, err := io.WriteString(w, "three"); !errors.Is(err, http.ErrContentLength) {
				panic(err)
			}
			_, _ = io.WriteString(w, "ok")
		},
		"/flushed": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "one")
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, "two")
		},
	}
	seen := make(map[string]shown)
	each(t, func(w http.ResponseWriter, r *http.Request) {
		if handle := handlers[r.URL.Path]; handle != nil {
			handle(w, r)
		}
	}, func(t *testing.T, by upstream, to forward.Target) {
		for path := range handlers {
			for _, method := range []string{"GET", "HEAD"} {
				request := get(path)
				request.Head, request.HeadOnly = []byte(method+" "+path+" HTTP/1.1\r\nHost: h\r\n\r\n"), method == "HEAD"
				got := look(t, by, to, request)
				name := method + " " + path
				if want, other := seen[name]; other && want != got {
					t.Errorf("%s: got\n%v\nand by HTTP/1.1\n%v", name, got, want)
				}
				seen[name] = got
			}
		}
	})
	if len(seen) != 2*len(handlers) || !strings.Contains(seen["GET /short"].fields, "text/html") || len(seen["GET /long"].body) != 432100 ||
		!strings.Contains(seen["GET /fields"].fields, "b  X-Evil: 1") {
		t.Errorf("%v", seen["GET /fields"])
	}
}

// shown is what a client sees of an answer.
type shown struct {
	fields, body string
	broken       bool
}

// look fetches an answer, and shows it without framing and the time.
func look(t *testing.T, by upstream, to forward.Target, request *forward.Request) (got shown) {
	t.Helper()
	answer, err := by.Send(to, request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Close()
	head := answer.Head()
	lines := []string{string(head.Reason)}
	for _, field := range head.Fields {
		switch name := string(field.Name); {
		case name == "Transfer-Encoding", name == "Connection", name == "Date" && string(field.Value) != "then":
		default:
			lines = append(lines, strings.TrimSpace(string(field.Line)))
		}
	}
	// net/http puts the fields that it adds before a handler's, or behind: the order says nothing.
	got.fields = strings.Join(sorted(lines), "\n")
	var body bytes.Buffer
	for err == nil {
		var piece []byte
		piece, err = answer.Next()
		body.Write(piece)
	}
	got.body, got.broken = body.String(), err != io.EOF
	return got
}

// TestRequests: what a handler sees of a request.
func TestRequests(t *testing.T) {
	var addresses sync.Map
	each(t, func(w http.ResponseWriter, r *http.Request) {
		addresses.Store(r.RemoteAddr, true)
		body, err := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s|%s|%s|%s|%d|%v|%s|%v|%v", r.Method, r.RequestURI, r.Host, r.Header["X-A"], r.ContentLength, r.TransferEncoding, body, err, r.TLS != nil)
	}, func(t *testing.T, by upstream, to forward.Target) {
		f := func(request *forward.Request, want string) {
			t.Helper()
			if _, got, err := fetch(by, to, request); got != want || err != nil {
				t.Errorf("got %q, want %q: %v", got, want, err)
			}
		}
		plain := get("/a//b/../c%2Fd?x=%zz&y")
		plain.Head = []byte("GET /a//b/../c%2Fd?x=%zz&y HTTP/1.1\r\nhOST: h\r\nx-a: 1\r\nX-A:  2 \r\n\r\n")
		f(plain, "GET|/a//b/../c%2Fd?x=%zz&y|h|[1 2]|0|[]||<nil>|false")
		f(post(t, "/p", strings.NewReader("hello"), 5), "POST|/p|h|[]|5|[]|hello|<nil>|false")
		f(post(t, "/p", strings.NewReader(""), 0), "POST|/p|h|[]|0|[]||<nil>|false")
		f(post(t, "/p", strings.NewReader("hello"), -1), "POST|/p|h|[]|-1|[chunked]|hello|<nil>|false")
		long := strings.Repeat("l", 50<<10) // two frames
		f(post(t, "/p", strings.NewReader(long), int64(len(long))), fmt.Sprintf("POST|/p|h|[]|%d|[]|%s|<nil>|false", len(long), long))
		f(post(t, "/p", strings.NewReader(""), -1), "POST|/p|h|[]|-1|[chunked]||<nil>|false")
	})
}

// TestBrokenOff: what ends early never looks whole, and takes no other stream along.
func TestBrokenOff(t *testing.T) {
	each(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/before":
			panic(http.ErrAbortHandler)
		case "/fault":
			panic("a fault")
		case "/within":
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case "/short":
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "half")
		}
	}, func(t *testing.T, by upstream, to forward.Target) {
		for _, path := range []string{"/before", "/fault"} {
			if _, _, err := fetch(by, to, get(path)); stageOf(err) == 0 || stageOf(err) == forward.TimedOut {
				t.Errorf("%s: %v", path, err)
			}
		}
		if _, body, err := fetch(by, to, get("/within")); body != "half" || err == nil {
			t.Errorf("got %q, %v", body, err)
		}
		if _, _, err := fetch(by, to, get("/short")); err == nil {
			t.Error("an answer that is short of its length looks whole")
		}
		if status, _, err := fetch(by, to, get("/well")); status != 200 || err != nil {
			t.Errorf("the next got %d, %v", status, err)
		}
	})
}

// TestTimeout: silence ends a request, and is told to the handler.
func TestTimeout(t *testing.T) {
	gone := make(chan struct{}, 8)
	each(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/slow" {
			return
		}
		<-r.Context().Done()
		gone <- struct{}{}
	}, func(t *testing.T, by upstream, to forward.Target) {
		request := get("/slow")
		request.Deadline = time.Now().Add(50 * time.Millisecond)
		if _, _, err := fetch(by, to, request); stageOf(err) != forward.TimedOut {
			t.Errorf("got %v", err)
		}
		await(t, gone)
	})
}

// TestCancel: an answer that nobody reads on ends at its handler; what stands still does too.
func TestCancel(t *testing.T) {
	gone := make(chan struct{}, 8)
	each(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/stream" {
			return
		}
		defer func() { gone <- struct{}{} }()
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, "tick\n"); err != nil {
				return
			}
			if http.NewResponseController(w).Flush() != nil {
				return
			}
		}
	}, func(t *testing.T, by upstream, to forward.Target) {
		answer, err := by.Send(to, get("/stream"))
		if err != nil {
			t.Fatal(err)
		}
		if piece, err := answer.Next(); !bytes.HasPrefix(piece, []byte("tick\n")) {
			t.Errorf("got %q, %v", piece, err)
		}
		answer.Close()
		await(t, gone)
	})
}

// TestStandstill: an answer that stops moving is given up after the patience for it.
func TestStandstill(t *testing.T) {
	each(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stops" {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	}, func(t *testing.T, by upstream, to forward.Target) {
		request := get("/stops")
		request.Patience = 50 * time.Millisecond
		if status, _, err := fetch(by, to, request); status != 200 || err == nil {
			t.Errorf("%d, %v", status, err)
		}
	})
}

func await[T any](t *testing.T, what <-chan T) T {
	t.Helper()
	select {
	case got := <-what:
		return got
	case <-time.After(patience):
		t.Fatal("what was waited for did not come")
		panic("unreachable")
	}
}
