package dataplane

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stead-io/stead/api"
)

// nextAnswer is what the node of FuzzNode answers the request behind the one that is looked at.
const nextAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext"

// FuzzNode has a node answer with any octets. What the client gets for them is an answer as net/http reads them, or
// one of the proxy's own, or one that is visibly cut short; and what the node sends behind an answer is not the answer
// to the client's next request.
func FuzzNode(f *testing.F) {
	answered(func(octets string) {
		for way := range firstRequests {
			f.Add([]byte(octets), byte(way))
		}
	})
	brokenAnswers(func(name, octets string) {
		if len(octets) <= readingMax/2 {
			f.Add([]byte(octets), byte(len(name)))
		}
	})
	var answer atomic.Pointer[[]byte]
	script := func(w io.Writer, _ int, request *http.Request) (goOn bool) {
		octets := []byte(nextAnswer)
		if request.URL.Path == "/kv/a" {
			octets = *answer.Load()
		}
		_, err := w.Write(octets)
		_, _, whole := finalAnswer(octets, request.Method)
		return err == nil && whole
	}
	node := plainPipeline(f, script, func(c *Config) { c.Deadline, c.StreamTimeout, c.Trail = patience/2, patience/2, TrailConfig{} })
	f.Fuzz(func(t *testing.T, octets []byte, way byte) {
		if len(octets) > readingMax/2 {
			return
		}
		answer.Store(&octets)
		request := firstRequests[int(way)%len(firstRequests)]
		x := node.run(t, []byte(request+"GET /kv/next HTTP/1.1\r\nHost: h\r\n\r\n"))
		if x.left || errors.Is(x.err, syscall.ECONNRESET) {
			return
		}
		method, _, _ := strings.Cut(request, " ")
		x.checkRelayed(t, octets, method)
	})
}

// firstRequests are those that are answered so.
var firstRequests = []string{
	getA, "HEAD /kv/a HTTP/1.1\r\nHost: h\r\n\r\n", "PUT /kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi",
	"PUT /kv/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "GET /kv/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
}

// finalAnswer is the first answer that is no interim one, as net/http reads it; whole reports one whose end shows
// before the connection's.
func finalAnswer(octets []byte, method string) (response *http.Response, body []byte, whole bool) {
	for reader := bufio.NewReaderSize(bytes.NewReader(octets), readingMax); ; {
		response, err := http.ReadResponse(reader, &http.Request{Method: method})
		if err != nil {
			return nil, nil, false
		}
		if response.StatusCode < 200 {
			continue
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return nil, nil, false
		}
		framed := response.ContentLength >= 0 || len(response.TransferEncoding) > 0 || method == http.MethodHead
		return response, body, framed
	}
}

// checkRelayed sees that the client got what a node sent for its first request, and what belongs to its second.
func (x *exchanged) checkRelayed(t *testing.T, octets []byte, method string) {
	t.Helper()
	reader := bufio.NewReaderSize(bytes.NewReader(x.got), readingMax)
	response := &http.Response{}
	for response.StatusCode < 200 {
		var err error
		if response, err = http.ReadResponse(reader, &http.Request{Method: method}); err != nil {
			t.Fatalf("of %q the client got %q: %v", octets, x.got, err)
		}
	}
	body, err := io.ReadAll(response.Body)
	rest, _ := io.ReadAll(reader)
	switch {
	case err != nil && len(rest) == 0:
		return // visibly cut short
	case response.Close && len(rest) > 0, !response.Close && string(rest) != nextAnswer:
		t.Fatalf("of %q the client got %q", octets, x.got)
	case response.StatusCode >= 500 && response.Header.Get("Content-Type") == api.ProblemType:
		return // perhaps the proxy's own
	}
	meant, meantBody, _ := finalAnswer(octets, method)
	if meant == nil || meant.StatusCode != response.StatusCode || !bytes.Equal(meantBody, body) {
		t.Fatalf("of %q the client got %q", octets, x.got)
	}
}

// answered lists answers of nodes, good and bad.
func answered(f func(octets string)) {
	const ok = "HTTP/1.1 200 OK\r\n"
	f(ok + "Content-Length: 2\r\n\r\nok")
	f(ok + "Content-Length: 2\r\n\r\nok" + ok + "Content-Length: 4\r\n\r\nevil")
	f(ok + "Transfer-Encoding: chunked\r\nTrailer: A\r\n\r\n2;a=\"b\"\r\nok\r\n0\r\nA: b\r\n\r\n")
	f(ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + ok + "\r\n")
	f(ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n")
	f(ok + "\r\nuntil the end")
	f("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok")
	f("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok + "Content-Length: 2\r\n\r\nok")
	f("HTTP/1.1 100 Continue\r\nContent-Length: 2\r\n\r\nok" + ok + "Content-Length: 2\r\n\r\nok")
	f("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	f("HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok")
	f("HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok")
	f("HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n")
	f(ok + "Content-Length: 10\r\n\r\nok")
	f(ok + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
	f(ok + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nok!")
	f(ok + "Content-Length: -2\r\n\r\nok")
	f(ok + "Content-Length: 2\r\nA: b\rSet-Cookie: c\r\n\r\nok")
	f(ok + "Content-Length: 2\r\nConnection: close, a\r\nA: b\r\nStead-Epoch: 9\r\nKeep-Alive: 1\r\n\r\nok")
	f("HTTP/1.1 421 Misdirected Request\r\nContent-Length: 0\r\n\r\n")
	f("HTTP/1.1 200\nContent-Length: 2\n\nok")
	f("")
}
