package dataplane

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// startH2C starts a node that speaks HTTP/2 from the first octet on.
func startH2C(t *testing.T, handler http.HandlerFunc) (address string) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return api.SchemeH2C + server.Listener.Addr().String()
}

// TestH2CNode: what a client of HTTP/1.1 asks such a node gets in HTTP/2, and the client its answer in HTTP/1.1.
func TestH2CNode(t *testing.T) {
	address := startH2C(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		w.Header().Set("X-Saw", fmt.Sprint(r.Method, " ", r.RequestURI, " ", r.Host, " ", r.Proto, " ", len(body), " ", r.ContentLength, " ", err))
		w.Header().Set("X-Fields", fmt.Sprintf("%v%v%v%v%v%v", r.Header["X-A"], r.Header["Te"], r.Header["Stead-Key"], r.Header["Connection"], r.Header["User-Agent"], r.Header["Accept-Encoding"]))
		w.Header()["Date"] = nil
		switch {
		case strings.Contains(r.RequestURI, "empty"):
			w.WriteHeader(http.StatusNoContent)
		case strings.Contains(r.RequestURI, "none"):
		case strings.Contains(r.RequestURI, "hints"):
			w.Header().Set("Link", "a")
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Del("Link")
			_, _ = io.WriteString(w, "ok")
		default:
			w.Header().Set("Content-Type", "a/b")
			_, _ = io.WriteString(w, "ok")
			_ = http.NewResponseController(w).Flush()
			w.Header().Set(http.TrailerPrefix+"X-Sum", fmt.Sprint("7", r.Trailer["X-Late"]))
		}
	})
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", address)))
	f := func(octets, wantSaw, wantFields, wantBody string) {
		t.Helper()
		answer, body := ask(t, proxy, octets)
		if got := answer.Header.Get("X-Saw"); got != wantSaw {
			t.Errorf("the node saw %s, want %s", got, wantSaw)
		}
		if got := answer.Header.Get("X-Fields"); got != wantFields {
			t.Errorf("the node saw fields %s, want %s", got, wantFields)
		}
		if got := body + fmt.Sprint(answer.Trailer); got != wantBody {
			t.Errorf("the client got %s of %v, want %s", got, answer, wantBody)
		}
	}
	f("GET //kv/../a%2Fb?tenant=t&c HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nX-A: 2\r\nConnection: TE\r\nTE: trailers\r\n\r\n",
		"GET //kv/../a%2Fb?tenant=t&c h HTTP/2.0 0 0 <nil>", "[1 2][trailers][t][][][]", "okmap[X-Sum:[7[]]]")
	f("GET /kv/a HTTP/1.0\r\n\r\n", "GET /kv/a "+api.HostPort(address)+" HTTP/2.0 0 0 <nil>", "[][][a][][][]", "okmap[]")
	f("PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nUser-Agent: u\r\n\r\nbody", "PUT /kv/a h HTTP/2.0 4 4 <nil>", "[][][a][][u][]", "okmap[X-Sum:[7[]]]")
	long := strings.Repeat("x", 500_000)
	f("PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n\r\n"+long, "PUT /kv/a h HTTP/2.0 500000 500000 <nil>", "[][][a][][][]", "okmap[X-Sum:[7[]]]")
	f("PUT /kv/a HTTP/1.1\r\nHost: h\r\nTrailer: X-Late\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX-Late: 3\r\n\r\n",
		"PUT /kv/a h HTTP/2.0 4 -1 <nil>", "[][][a][][][]", "okmap[X-Sum:[7[3]]]")
	f("GET /kv/empty HTTP/1.1\r\nHost: h\r\n\r\n", "GET /kv/empty h HTTP/2.0 0 0 <nil>", "[][][empty][][][]", "map[]")
	f("GET /kv/none HTTP/1.1\r\nHost: h\r\n\r\n", "GET /kv/none h HTTP/2.0 0 0 <nil>", "[][][none][][][]", "map[]")
	f("GET /kv/a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "GET /kv/a h HTTP/2.0 0 0 <nil>", "[][][a][][][]", "okmap[X-Sum:[7[]]]")

	conn := dial(t, proxy)
	_, _ = io.WriteString(conn, "GET /kv/hints HTTP/1.1\r\nHost: h\r\n\r\nHEAD /kv/a HTTP/1.1\r\nHost: h\r\n\r\nGET /kv/a HTTP/1.1\r\nHost: h\r\n\r\n")
	reader := bufio.NewReader(conn)
	if hints, err := http.ReadResponse(reader, nil); err != nil || hints.StatusCode != 103 || hints.Header.Get("Link") != "a" {
		t.Errorf("hints arrive as %v, %v", hints, err)
	}
	if answer, body := readAnswer(t, reader); answer.StatusCode != 200 || body != "ok" {
		t.Errorf("got %v", answer)
	}
	if head, err := http.ReadResponse(reader, &http.Request{Method: "HEAD"}); err != nil || head.StatusCode != 200 {
		t.Errorf("got %v, %v", head, err)
	}
	if answer, body := readAnswer(t, reader); answer.StatusCode != 200 || body != "ok" {
		t.Errorf("got %v", answer)
	}
	if got := proxy.nodes.Stats.Connects.Load(); got != 1 {
		t.Errorf("the proxy connected %d times", got)
	}
}

// TestH2CMoved: a 421 is followed, with its body, to a node that speaks another protocol.
func TestH2CMoved(t *testing.T) {
	view := ringOf(t, 1, 1, up("n1", "h:1"), up("n2", "h:2"))
	key := keyAt(view, "n1")
	node := startNode(t, answer(okAnswer))
	away := startH2C(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(api.HeaderOwner, "n2")
		w.Header().Set(api.HeaderEpoch, "2")
		w.WriteHeader(http.StatusMisdirectedRequest)
	})
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", away), up("n2", node.address())))
	f := func(framing, body string) {
		t.Helper()
		answer, _ := ask(t, proxy, "PUT /kv/"+key+" HTTP/1.1\r\nHost: h\r\n"+framing+"\r\n\r\n"+body)
		if got := node.next(t); answer.StatusCode != 200 || got.body != strings.Repeat("x", len(got.body)) || len(got.body) < 9 {
			t.Errorf("got %v, the node %d octets", answer.Status, len(got.body))
		}
	}
	f("Content-Length: 9", "xxxxxxxxx")
	f("Content-Length: 200000", strings.Repeat("x", 200_000))
	f("Transfer-Encoding: chunked", "9\r\nxxxxxxxxx\r\n0\r\n\r\n")
}

// TestH2CFailures: what fails is told as for other nodes, and no more is sent again than may be.
func TestH2CFailures(t *testing.T) {
	var seen atomic.Int64
	address := startH2C(t, func(w http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		switch {
		case strings.Contains(r.RequestURI, "reset"):
			panic(http.ErrAbortHandler)
		case strings.Contains(r.RequestURI, "cut"):
			w.Header().Set("Content-Length", "9")
			_, _ = io.WriteString(w, "part")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case strings.Contains(r.RequestURI, "late"):
			<-r.Context().Done()
		}
	})
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", address)), func(c *Config) { c.Deadline = 700 * time.Millisecond })
	f := func(method, path string, status int, code string) {
		t.Helper()
		before := seen.Load()
		answer, body := ask(t, proxy, method+" "+path+" HTTP/1.1\r\nHost: h\r\n\r\n")
		if answer.StatusCode != status || !strings.Contains(body, code) || seen.Load() != before+1 {
			t.Errorf("%s %s: got %v %q, the node saw %d", method, path, answer.Status, body, seen.Load()-before)
		}
	}
	f("GET", "/kv/fine", 200, "")
	f("GET", "/kv/reset", 502, "owner_failed")
	f("GET", "/kv/late", 504, "owner_timeout")
	f("GET", "/kv/fine", 200, "")
	conn := dial(t, proxy)
	_, _ = io.WriteString(conn, "GET /kv/cut HTTP/1.1\r\nHost: h\r\n\r\n")
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(answer.Body); err == nil {
		t.Errorf("an answer that was cut short arrives as %q", body)
	}

	refuses, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = refuses.Close()
	down, _ := start(t, ringOf(t, 1, 1, up("n1", api.SchemeH2C+refuses.Addr().String())))
	if answer, body := ask(t, down, getA); answer.StatusCode != 503 || !strings.Contains(body, "owner_down") {
		t.Errorf("got %v %q", answer.Status, body)
	}
}

// scripted is a node that speaks frames: it answers each connection's requests by a script.
func scripted(t *testing.T, script func(conn int, f *http2.Framer, id uint32)) (address string, requests *atomic.Int64) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	requests = new(atomic.Int64)
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			go func() {
				_, _ = io.ReadFull(conn, make([]byte, len(http2.ClientPreface)))
				f := http2.NewFramer(conn, conn)
				_ = f.WriteSettings()
				for {
					frame, err := f.ReadFrame()
					if err != nil {
						return
					}
					if head, is := frame.(*http2.HeadersFrame); is {
						requests.Add(1)
						script(n, f, head.StreamID)
					}
				}
			}()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	return api.SchemeH2C + listener.Addr().String(), requests
}

// statusOK is the field ":status: 200" as HPACK has it.
var statusOK = []byte{0x88}

// TestH2CSentAgain: a request that the node says it has not looked at goes to a fresh connection, whatever its method; one that it may have
// looked at does so only if it asks for no change.
func TestH2CSentAgain(t *testing.T) {
	f := func(method string, wantStatus int, wantRequests int64, refuse func(*http2.Framer, uint32)) {
		t.Helper()
		address, requests := scripted(t, func(conn int, f *http2.Framer, id uint32) {
			if conn == 0 && id > 1 {
				refuse(f, id)
				return
			}
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: statusOK, EndStream: true, EndHeaders: true})
		})
		proxy, _ := start(t, ringOf(t, 1, 1, up("n1", address)))
		if answer, _ := ask(t, proxy, getA); answer.StatusCode != 200 {
			t.Fatalf("got %v", answer.Status)
		}
		answer, body := ask(t, proxy, method+" /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody")
		if answer.StatusCode != wantStatus || requests.Load() != wantRequests {
			t.Errorf("%s: got %v %q after %d requests", method, answer.Status, body, requests.Load())
		}
	}
	refused := func(f *http2.Framer, id uint32) { _ = f.WriteRSTStream(id, http2.ErrCodeRefusedStream) }
	away := func(f *http2.Framer, id uint32) { _ = f.WriteGoAway(id-2, http2.ErrCodeNo, nil) }
	reset := func(f *http2.Framer, id uint32) { _ = f.WriteRSTStream(id, http2.ErrCodeInternal) }
	fresh := func(refuse func(*http2.Framer, uint32)) {
		t.Helper()
		address, requests := scripted(t, func(conn int, f *http2.Framer, id uint32) {
			if conn == 0 {
				refuse(f, id)
				return
			}
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: statusOK, EndStream: true, EndHeaders: true})
		})
		proxy, _ := start(t, ringOf(t, 1, 1, up("n1", address)))
		answer, body := ask(t, proxy, "POST /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody")
		if answer.StatusCode != 200 || requests.Load() != 2 {
			t.Errorf("on a fresh connection: got %v %q after %d requests", answer.Status, body, requests.Load())
		}
	}
	fresh(refused)
	fresh(func(f *http2.Framer, _ uint32) { _ = f.WriteGoAway(0, http2.ErrCodeNo, nil) })
	f("POST", 200, 3, refused)
	f("POST", 200, 3, away)
	f("POST", 502, 2, reset)
	f("GET", 502, 2, reset)
}

// TestH2CCancelled: a client that leaves ends its request at the node.
func TestH2CCancelled(t *testing.T) {
	began, ended := make(chan struct{}), make(chan struct{})
	address := startH2C(t, func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		close(ended)
	})
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", address)))
	conn := dial(t, proxy)
	_, _ = io.WriteString(conn, getA)
	<-began
	_ = conn.Close()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("the node was not told")
	}
}

// TestH2CInterruptedUpload: a body that breaks off is no whole one for the node, and an answer that comes early ends it.
func TestH2CInterruptedUpload(t *testing.T) {
	read := make(chan error, 1)
	address := startH2C(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.RequestURI, "early") {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		_, err := io.Copy(io.Discard, r.Body)
		read <- err
	})
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", address)))
	conn := dial(t, proxy)
	_, _ = io.WriteString(conn, "PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\npart")
	_ = conn.(*net.TCPConn).CloseWrite()
	if err := <-read; err == nil {
		t.Error("the node took a part for the whole")
	}
	answer, _ := ask(t, proxy, "PUT /kv/early HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\npart")
	if answer.StatusCode != 413 {
		t.Errorf("got %v", answer.Status)
	}
}

// TestH2CDrain: what is under way when the proxy stops is finished.
func TestH2CDrain(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	address := startH2C(t, func(w http.ResponseWriter, _ *http.Request) {
		close(began)
		<-release
		_, _ = io.WriteString(w, "ok")
	})
	proxy, _ := start(t, ringOf(t, 1, 1, ring.Node{ID: "n1", Address: address, Status: ring.StatusUp}))
	conn := dial(t, proxy)
	_, _ = io.WriteString(conn, getA)
	<-began
	closed := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		closed <- proxy.Close(ctx)
	}()
	close(release)
	if answer, body := readAnswer(t, bufio.NewReader(conn)); answer.StatusCode != 200 || body != "ok" {
		t.Errorf("got %v %q", answer.Status, body)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}
