package dataplane

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
)

// visitors are clients that ask without pause: every other connection is for one request, the others go on until they are
// told to leave. None asks a second time for what failed.
type visitors struct {
	t      *testing.T
	stop   context.CancelFunc
	all    sync.WaitGroup
	served atomic.Int64
}

func startVisitors(t *testing.T, address string, count int) *visitors {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	v := &visitors{t: t, stop: stop}
	for i := range count {
		v.all.Go(func() {
			for turn := i; ctx.Err() == nil; turn++ {
				v.visit(ctx, address, turn%2 == 0)
			}
		})
	}
	return v
}

// visit makes one connection and asks until it is told to leave, or once.
func (v *visitors) visit(ctx context.Context, address string, once bool) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		v.t.Errorf("cannot connect: %v", err)
		v.stop()
		return
	}
	defer func() { _ = conn.Close() }()
	reader := bufio.NewReader(conn)
	for {
		_, _ = io.WriteString(conn, getA)
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			v.t.Errorf("connected, and got no answer: %v", err)
			v.stop()
			return
		}
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			v.t.Errorf("got %s %s, %v", response.Status, body, err)
		}
		v.served.Add(1)
		if once || response.Close || ctx.Err() != nil {
			return
		}
	}
}

// await waits until so many requests were answered.
func (v *visitors) await(served int64) {
	v.t.Helper()
	until(v.t, "requests", func() bool { return v.served.Load() >= served || v.t.Failed() })
}

// end stops the visitors.
func (v *visitors) end() {
	v.stop()
	v.all.Wait()
}
