package mux_test

import (
	"bytes"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stead-io/stead/dataplane/forward"
)

// BenchmarkTransports has 64 requests under way at a time, by either transport. Time and allocations are those of
// both ends.
func BenchmarkTransports(b *testing.B) {
	for _, size := range []int{64, 1 << 10, 64 << 10} {
		answer := bytes.Repeat([]byte("x"), size)
		n := serve(b, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.Header().Set("Content-Length", strconv.Itoa(size))
			_, _ = w.Write(answer)
		})
		ways := muxed(b, n)
		for name, by := range map[string]upstream{"http": ways.http, "mux": ways.mux} {
			b.Run(name+"/"+strconv.Itoa(size), func(b *testing.B) { benchmark(b, by, n.target(), 64) })
		}
	}
}

func benchmark(b *testing.B, by upstream, to forward.Target, clients int) {
	b.ReportAllocs()
	before := spent()
	var tasks sync.WaitGroup
	for c := range clients {
		tasks.Go(func() {
			request := get("/")
			for range b.N/clients + min(1, max(0, b.N%clients-c)) {
				request.Deadline = time.Now().Add(patience)
				answer, err := by.Send(to, request)
				if err != nil {
					b.Error(err)
					return
				}
				for err == nil {
					_, err = answer.Next()
				}
				answer.Close()
			}
		})
	}
	tasks.Wait()
	b.ReportMetric(float64(spent()-before)/float64(b.N)/1000, "cpu-µs/op")
}

// spent is the processor time of this process, in nanoseconds.
func spent() int64 {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}
