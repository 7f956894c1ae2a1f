//go:build bench && linux

package bench

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/nodesvc"
	"github.com/stead-io/stead/tests/cluster"
)

// Roles that this test program takes as a process of its own, by an environment variable.
const (
	roleVariable = "STEAD_BENCH_ROLE"
	roleBackend  = "backend"
	roleLoad     = "load"

	loadVariable    = "STEAD_BENCH_LOAD"
	backendVariable = "STEAD_BENCH_LISTEN"
	muxVariable     = "STEAD_BENCH_LISTEN_MUX"
)

// roles run instead of the tests.
var roles = map[string]func(){roleBackend: backendMain, roleLoad: loadMain}

func init() {
	if main, known := roles[os.Getenv(roleVariable)]; known {
		main()
		os.Exit(0)
	}
}

// answerSizes are the bodies, in octets, that a back end has at /64 and so on.
var answerSizes = []int{64, 1 << 10, 64 << 10, 1 << 20, 16 << 20}

// backends are processes that answer requests, with two addresses each.
type backends struct {
	plain []string // speak HTTP/1.1
	mux   []string // speak stead-mux too, as services on the SDK do
}

// startBackends runs back ends, each a process with one core's worth.
func startBackends(t testing.TB, count int) (all backends) {
	t.Helper()
	for i := range count {
		plain, mux := cluster.FreeAddress(t), cluster.FreeAddress(t)
		cluster.Run(t, fmt.Sprintf("backend-%d", i+1), "env", "GOMAXPROCS=1", roleVariable+"="+roleBackend,
			backendVariable+"="+plain, muxVariable+"="+mux, os.Args[0])
		all.plain, all.mux = append(all.plain, plain), append(all.mux, mux)
	}
	return all
}

// backendMain answers whatever comes with as many octets as its path says, at the least cost: it looks for the
// ends of heads and knows no bodies.
func backendMain() {
	listener, err := net.Listen("tcp", os.Getenv(backendVariable))
	if err != nil {
		panic(err)
	}
	go outliveNobody(os.Getppid())
	go serveMux(os.Getenv(muxVariable))
	answers := make(map[string][]byte)
	for _, size := range answerSizes {
		answers[fmt.Sprint(size)] = fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\nContent-Length: %d\r\n\r\n%s",
			size, strings.Repeat("x", size))
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go serveBackend(conn, answers)
	}
}

// serveMux answers as the plain address does, by way of a handler.
func serveMux(address string) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		panic(err)
	}
	bodies := make(map[string][]byte)
	for _, size := range answerSizes {
		bodies[fmt.Sprintf("/%d", size)] = bytes.Repeat([]byte("x"), size)
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := bodies[r.URL.Path]
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	})
	panic(nodesvc.NewServer(handler, slog.New(slog.DiscardHandler)).Serve(listener))
}

// outliveNobody ends a back end whose test was broken off.
func outliveNobody(parent int) {
	for os.Getppid() == parent {
		time.Sleep(time.Second)
	}
	os.Exit(0)
}

func serveBackend(conn net.Conn, answers map[string][]byte) {
	defer func() { _ = conn.Close() }()
	buffer, n := make([]byte, 16<<10), 0
	for {
		more, err := conn.Read(buffer[n:])
		if err != nil || more == 0 {
			return
		}
		n += more
		for {
			end := bytes.Index(buffer[:n], []byte("\r\n\r\n"))
			if end < 0 {
				break
			}
			path, _, _ := bytes.Cut(bytes.TrimPrefix(buffer[:end], []byte("GET /")), []byte(" "))
			if _, err := conn.Write(answers[string(path)]); err != nil {
				return
			}
			n = copy(buffer, buffer[end+4:n])
		}
	}
}
