package dataplane

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// memoryGrowthMax is what client, proxy and node together may grow by while a body of any length passes.
const memoryGrowthMax = 24 << 20

// TestConstantMemory: a body of 64 MiB, or STREAM_BYTES, passes up and down, by stead-mux and by HTTP/1.1, and memory
// does not grow with it.
// make bench-stream runs it with 10 GB.
func TestConstantMemory(t *testing.T) {
	octets := int64(streamOctets)
	if text := os.Getenv("STREAM_BYTES"); text != "" {
		var err error
		if octets, err = strconv.ParseInt(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	var taken atomic.Int64
	ways := startTwoWays(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			t.Errorf("the node got %d octets, %v", n, err)
		}
		taken.Add(n)
		switch r.URL.RawQuery {
		case "length":
			w.Header().Set("Content-Length", strconv.FormatInt(octets, 10))
			fallthrough
		case "chunks":
			_, _ = io.CopyN(w, zeros{}, octets)
		}
	}, func(c *Config) { c.BodyMax = octets })
	ways.each(t, func(t *testing.T, proxy *Proxy) {
		f := func(name, method, query string, body io.Reader, length, wantUp, wantDown int64) {
			t.Helper()
			request, err := http.NewRequest(method, "http://"+proxy.Addr()+"/kv/a?"+query, body)
			if err != nil {
				t.Fatal(err)
			}
			request.ContentLength = length
			taken.Store(0)
			before := memory()
			peak := watchMemory(before)
			began := time.Now()
			response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
			grown := peak() - before
			if err != nil || got != wantDown || taken.Load() != wantUp {
				t.Errorf("%s: %d octets up, %d down, %v", name, taken.Load(), got, err)
			}
			if grown > memoryGrowthMax {
				t.Errorf("%s: memory has grown by %d octets", name, grown)
			}
			t.Logf("%s: %d octets, memory +%.1f MiB, %s", name, octets, float64(grown)/(1<<20), rate(octets, time.Since(began)))
		}
		f("up", http.MethodPut, "", io.LimitReader(zeros{}, octets), octets, octets, 0)
		f("up in chunks", http.MethodPut, "", io.LimitReader(zeros{}, octets), -1, octets, 0)
		f("down", http.MethodGet, "length", nil, 0, 0, octets)
		f("down in chunks", http.MethodGet, "chunks", nil, 0, 0, octets)
	})
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// memory is what the process holds of the system's, as far as Go knows of it.
func memory() int64 {
	debug.FreeOSMemory()
	return heldMemory()
}

func heldMemory() int64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.Sys - stats.HeapReleased)
}

// watchMemory looks at the memory held until it is asked for the highest.
func watchMemory(from int64) (peak func() int64) {
	stop, highest := make(chan struct{}), make(chan int64)
	go func() {
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		for most := from; ; {
			select {
			case <-ticker.C:
				most = max(most, heldMemory())
			case <-stop:
				highest <- max(most, heldMemory())
				return
			}
		}
	}()
	return func() int64 {
		close(stop)
		return <-highest
	}
}

func rate(octets int64, took time.Duration) string {
	return fmt.Sprintf("%.0f MB/s", float64(octets)/1e6/took.Seconds())
}
