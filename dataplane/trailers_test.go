package dataplane

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestTrailersBothWays looks at both sides: trailers pass, the forbidden ones of an answer do not.
func TestTrailersBothWays(t *testing.T) {
	const chunkedAnswer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
	// f sends a request, has the node answer, and compares what either got; stamps are added.
	f := func(name, request, wantNode, octets, want string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			node := startNode(t, answer(octets))
			view := ringOf(t, 1, 7, up("n1", node.address()))
			proxy, _ := start(t, view)
			if got, _ := talk(t, proxy, request); got != want {
				t.Errorf("the client got\n%q, want\n%q", got, want)
			}
			head, body, _ := strings.Cut(wantNode, "\r\n\r\n")
			if raw, want := node.next(t).raw, head+"\r\n"+stamps(view, "a")+"\r\n"+body; raw != want {
				t.Errorf("the node received\n%q, want\n%q", raw, want)
			}
		})
	}
	const put = "PUT /kv/a HTTP/1.1\r\nHost: h\r\n"
	f("of a request", put+"Trailer: Digest, X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nDigest: x\r\nx-sum:  1 \r\n\r\n",
		put+"Trailer: Digest, X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nDigest: x\r\nx-sum:  1 \r\n\r\n", okAnswer, okAnswer)
	f("named by Connection", put+"Connection: x-mine\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Mine: 1\r\nDigest: x\r\n\r\n",
		put+"Transfer-Encoding: chunked\r\n\r\n0\r\nDigest: x\r\n\r\n", okAnswer, okAnswer)
	f("announced without chunks", put+"Trailer: Digest\r\nContent-Length: 2\r\n\r\nhi", put+"Content-Length: 2\r\n\r\nhi", okAnswer, okAnswer)
	f("taken", "GET /kv/a HTTP/1.1\r\nHost: h\r\nTE: trailers, gzip\r\nConnection: TE\r\n\r\n",
		"GET /kv/a HTTP/1.1\r\nHost: h\r\nConnection: TE\r\nTE: trailers\r\n\r\n", okAnswer, okAnswer)

	f("of an answer", getA, getA, chunkedAnswer+"Trailer: Grpc-Status\r\n\r\n2\r\nhi\r\n0\r\nGrpc-Status: 0\r\nB:c\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTrailer: Grpc-Status\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nGrpc-Status: 0\r\nB:c\r\n\r\n")
	f("forbidden of an answer", getA, getA,
		chunkedAnswer+"\r\n2\r\nhi\r\n0\r\nContent-Length: 5\r\nSet-Cookie: a=b\r\nStead-Epoch: 9\r\nA: b\r\nConnection: close\r\nVary: *\r\n\r\n",
		chunkedAnswer+"\r\n2\r\nhi\r\n0\r\nA: b\r\n\r\n")
	f("of an answer whose Connection names them", getA, getA, chunkedAnswer+"Connection: a\r\n\r\n0\r\nA: b\r\n\r\n", chunkedAnswer+"\r\n0\r\n\r\n")
	const get10 = "GET /kv/a HTTP/1.0\r\nHost: h\r\n\r\n"
	f("for HTTP/1.0", get10, getA, chunkedAnswer+"\r\n2\r\nhi\r\n0\r\nA: b\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhi")
	f("too long", getA, getA, chunkedAnswer+"\r\n2\r\nhi\r\n0\r\nA: "+strings.Repeat("b", 9<<10)+"\r\n\r\n", chunkedAnswer+"\r\n2\r\nhi\r\n")
}

// TestTrailersOfNetHTTP: both ends in net/http see each other's trailers.
func TestTrailersOfNetHTTP(t *testing.T) {
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Saw")
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
		w.Header().Set("X-Saw", r.Trailer.Get("X-Sum"))
	}))
	defer node.Close()
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.Listener.Addr().String())))
	long := strings.Repeat("x", 200<<10)
	request, err := http.NewRequest(http.MethodPut, "http://"+proxy.Addr()+"/kv/a", io.MultiReader(strings.NewReader(long)))
	if err != nil {
		t.Fatal(err)
	}
	request.Trailer = http.Header{"X-Sum": {"42"}}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != long || response.Trailer.Get("X-Saw") != "42" {
		t.Errorf("got %d octets, %v, trailers %v", len(body), err, response.Trailer)
	}
}

// TestInterimAnswers: they reach the client at once, without what belongs to the hop, and not without end.
func TestInterimAnswers(t *testing.T) {
	proceed := make(chan struct{})
	node := startNode(t, func(conn net.Conn, _ int, request received) bool {
		if strings.Contains(request.raw, "/kv/many") {
			_, _ = io.WriteString(conn, strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", interimsMax+10))
		} else {
			_, _ = io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: b\r\nB: c\r\nStead-Epoch: 1\r\nContent-Length: 7\r\n\r\n")
			select {
			case <-proceed:
			case <-t.Context().Done():
			}
		}
		_, err := io.WriteString(conn, okAnswer)
		return err == nil
	})
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())))
	conn := dial(t, proxy)
	_, _ = io.WriteString(conn, getA)
	const hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
	got := make([]byte, len(hints))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != hints {
		t.Fatalf("got %q, %v", got, err)
	}
	close(proceed)
	if got, _ := listen(t, conn); got != okAnswer {
		t.Errorf("then came %q", got)
	}
	if got, _ := talk(t, proxy, "GET /kv/a HTTP/1.0\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("a client of HTTP/1.0 got %q", got)
	}
	if got, _ := talk(t, proxy, "GET /kv/many HTTP/1.1\r\nHost: h\r\n\r\n"); strings.Count(got, " 102 ") != interimsMax || !strings.HasSuffix(got, okAnswer) {
		t.Errorf("of many came %d, and %q", strings.Count(got, " 102 "), got[max(0, len(got)-80):])
	}
}

// TestEndlessInterimAnswers: a node that never comes to its answer is given up in time.
func TestEndlessInterimAnswers(t *testing.T) {
	node := startNode(t, func(conn net.Conn, _ int, _ received) bool {
		for {
			if _, err := io.WriteString(conn, strings.Repeat("HTTP/1.1 102 Processing\r\nA: b\r\n\r\n", 100)); err != nil {
				return false
			}
		}
	})
	proxy, _ := start(t, ringOf(t, 1, 1, up("n1", node.address())), func(c *Config) { c.Deadline = 200 * time.Millisecond })
	for _, put := range []string{getA, "PUT /kv/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"} {
		got, _ := talk(t, proxy, put)
		if strings.Count(got, " 102 ") != interimsMax || !strings.Contains(got, "HTTP/1.1 504 Gateway Timeout\r\n") {
			t.Errorf("got %q", got)
		}
	}
	until(t, "the end of the connections", func() bool { return node.connections() == 0 })
}
