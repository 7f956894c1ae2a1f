// Package mux_test tests both ends of stead-mux together: a proxy's transport and a node's server, over
// sockets.
package mux_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stead-io/stead/dataplane/forward"
	"github.com/stead-io/stead/dataplane/mux"
	"github.com/stead-io/stead/dataplane/wire"
	"github.com/stead-io/stead/nodesvc"
)

// patience bounds every wait of a test.
const patience = 10 * time.Second

// node is a node's server at an address.
type node struct {
	*nodesvc.Server
	address string
}

func serve(t testing.TB, handler http.HandlerFunc) *node {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveAt(t, listener, handler)
}

func serveAt(t testing.TB, listener net.Listener, handler http.HandlerFunc) *node {
	t.Helper()
	server := nodesvc.NewServer(handler, slog.New(slog.DiscardHandler))
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
	})
	return &node{server, listener.Addr().String()}
}

func (n *node) target() forward.Target { return forward.Target{Node: "n1", Address: n.address} }

// upstream is either transport.
type upstream interface {
	Send(forward.Target, *forward.Request) (forward.Answer, error)
}

// transports are the two ways to a node; of the second every request goes by mux.
type transports struct {
	http *forward.Transport
	mux  *mux.Transport
}

func dialer(ctx context.Context, to forward.Target) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", to.Address)
}

func open(t testing.TB, dial func(context.Context, forward.Target) (net.Conn, error), connections int) *transports {
	t.Helper()
	ways := &transports{http: forward.New(forward.Config{Dial: dial, IdleMax: 64, IdleTimeout: time.Minute})}
	ways.mux = mux.New(mux.Config{Dial: dial, Connections: connections, Fallback: ways.http})
	t.Cleanup(func() {
		ways.mux.Close()
		ways.http.Close()
	})
	return ways
}

// openOver has a fallback of its own.
func openOver(t testing.TB, fallback upstream) *transports {
	t.Helper()
	ways := &transports{mux: mux.New(mux.Config{Dial: dialer, Connections: 1, Fallback: fallback})}
	t.Cleanup(ways.mux.Close)
	return ways
}

// meet makes requests until one has gone by mux.
func (w *transports) meet(t testing.TB, to forward.Target) {
	t.Helper()
	for deadline := time.Now().Add(patience); w.mux.Stats.Requests.Load() == 0; {
		if time.Now().After(deadline) {
			t.Fatal("no request went by mux")
		}
		_, _, _ = fetch(w.mux, to, get("/meet"))
		time.Sleep(time.Millisecond)
	}
}

// muxed is a transport that has met a node.
func muxed(t testing.TB, n *node) *transports {
	t.Helper()
	ways := open(t, dialer, 1)
	ways.meet(t, n.target())
	return ways
}

func get(path string) *forward.Request {
	return &forward.Request{
		Head: []byte("GET " + path + " HTTP/1.1\r\nHost: h\r\n\r\n"), Safe: true,
		Deadline: time.Now().Add(patience), Wait: patience, Patience: patience,
	}
}

// post sends a body of a length, or in chunks.
func post(t testing.TB, path string, source io.Reader, length int64) *forward.Request {
	t.Helper()
	request := get(path)
	framing := "Transfer-Encoding: chunked"
	if length >= 0 {
		framing = "Content-Length: " + strconv.FormatInt(length, 10)
	} else {
		length = wire.Chunked
	}
	request.Head, request.Safe = []byte("POST "+path+" HTTP/1.1\r\nHost: h\r\n"+framing+"\r\n\r\n"), false
	request.Body = &forward.Body{}
	request.Body.Reset(source, length, 1<<40)
	if err := request.Body.Load(); err != nil {
		t.Fatal(err)
	}
	return request
}

// fetch sends a request and reads its answer to the end.
func fetch(by upstream, to forward.Target, request *forward.Request) (status int, body string, err error) {
	answer, err := by.Send(to, request)
	if err != nil {
		return 0, "", err
	}
	defer answer.Close()
	status = answer.Head().Status
	body, err = readAll(answer)
	return status, body, err
}

// fetchAll is fetch for who wants the trailers, too.
func fetchAll(by upstream, to forward.Target, request *forward.Request) (body, trailers string, err error) {
	answer, err := by.Send(to, request)
	if err != nil {
		return "", "", err
	}
	defer answer.Close()
	body, err = readAll(answer)
	return body, string(answer.Trailers()), err
}

func readAll(answer forward.Answer) (string, error) {
	var all strings.Builder
	for {
		piece, err := answer.Next()
		if err == io.EOF {
			return all.String(), nil
		}
		if err != nil {
			return all.String(), err
		}
		all.Write(piece)
	}
}

func stageOf(err error) forward.Stage {
	var failure *forward.Failure
	if errors.As(err, &failure) {
		return failure.Stage
	}
	return 0
}

func sorted(lines []string) []string {
	slices.Sort(lines)
	return lines
}
