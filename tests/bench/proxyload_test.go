//go:build bench && linux

package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The key that requests are spread by.
const (
	benchKeyHeader   = "X-Shard-Key"
	benchKeyVariable = "x_shard_key" // nginx's name for it
	benchKeys        = 1024
)

// loadSpec is what the load generator, a process of its own, is asked to do.
type loadSpec struct {
	Address     string
	PID         int // the proxy's, whose CPU is measured
	Connections int
	Size        int           // octets of an answer's body
	New         bool          // a connection for each request
	Rate        float64       // requests a second over all connections; 0: as fast as answers come
	Warm, Time  time.Duration // before, and while it is measured
	Idle        bool          // a request on each connection, and then nothing
}

// loadFigures is what came of it.
type loadFigures struct {
	Requests, Errors int64
	Elapsed, CPU     time.Duration // CPU of the proxy
	P50, P99         time.Duration
	First            string // the first error
	Resident         int64  // memory of the proxy with idle connections, in bytes
}

func (f loadFigures) cpuEach() float64 {
	return float64(f.CPU.Nanoseconds()) / 1000 / float64(max(1, f.Requests))
}

// runLoad runs a load in a process of its own.
func runLoad(t testing.TB, spec loadSpec) loadFigures {
	t.Helper()
	encoded, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), roleVariable+"="+roleLoad, loadVariable+"="+string(encoded))
	output, err := command.Output()
	if err != nil {
		t.Fatalf("the load generator failed: %v: %s", err, output)
	}
	var figures loadFigures
	if err := json.Unmarshal(output, &figures); err != nil {
		t.Fatal(err)
	}
	return figures
}

// load is the load generator at work.
type load struct {
	spec     loadSpec
	requests [benchKeys][]byte
	phase    atomic.Int32 // 0 warming up, 1 measuring, 2 over

	errors  atomic.Int64
	mu      sync.Mutex
	first   string
	samples []time.Duration
}

// loadMain is the load generator's main.
func loadMain() {
	var spec loadSpec
	if err := json.Unmarshal([]byte(os.Getenv(loadVariable)), &spec); err != nil {
		panic(err)
	}
	l := &load{spec: spec}
	connection := ""
	if spec.New {
		connection = "Connection: close\r\n"
	}
	for i := range l.requests {
		l.requests[i] = fmt.Appendf(nil, "GET /%d HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n%s: key-%04d\r\n%s\r\n",
			spec.Size, benchKeyHeader, i, connection)
	}
	work := l.run
	if spec.Idle {
		work = l.idle
	}
	if err := json.NewEncoder(os.Stdout).Encode(work()); err != nil {
		panic(err)
	}
}

func (l *load) run() loadFigures {
	var working sync.WaitGroup
	for i := range l.spec.Connections {
		working.Go(func() { l.work(rand.New(rand.NewPCG(uint64(i), 1))) })
	}
	time.Sleep(l.spec.Warm)
	start, used := time.Now(), cpuNanoseconds(l.spec.PID)
	l.phase.Store(1)
	time.Sleep(l.spec.Time)
	l.phase.Store(2)
	elapsed, cpu := time.Since(start), cpuNanoseconds(l.spec.PID)-used
	working.Wait()
	return loadFigures{
		Requests: int64(len(l.samples)), Errors: l.errors.Load(), Elapsed: elapsed, CPU: cpu,
		P50: quantile(l.samples, .5), P99: quantile(l.samples, .99), First: l.first,
	}
}

// idle has every connection carry a request, one after another, and looks at the proxy's memory when all are idle.
func (l *load) idle() (figures loadFigures) {
	held := make([]net.Conn, 0, l.spec.Connections) // what nobody holds is closed
	c := &loadConn{load: l, buffer: make([]byte, 128<<10)}
	for range l.spec.Connections {
		if err := c.ask(l.requests[0]); err != nil {
			l.failed(err)
			continue
		}
		figures.Requests++
		held, c.conn = append(held, c.conn), nil
	}
	defer runtime.KeepAlive(held)
	time.Sleep(l.spec.Time)
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", l.spec.PID))
	if err != nil {
		panic(err)
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(raw), &size, &resident); err != nil {
		panic(err)
	}
	figures.Errors, figures.First, figures.Resident = l.errors.Load(), l.first, resident*int64(os.Getpagesize())
	return figures
}

// answerWait bounds the wait for one answer.
const answerWait = 10 * time.Second

// work is one connection's. A request at a set rate counts from when it was due if the one before it was late.
func (l *load) work(random *rand.Rand) {
	c := &loadConn{load: l, buffer: make([]byte, 128<<10)}
	defer c.close()
	var samples []time.Duration
	due := time.Now()
	for l.phase.Load() < 2 {
		start := time.Now()
		if l.spec.Rate > 0 {
			due = due.Add(time.Duration(random.ExpFloat64() * float64(l.spec.Connections) / l.spec.Rate * float64(time.Second)))
			start = due
			if wait := time.Until(due); wait > 0 {
				time.Sleep(wait)
				start = time.Now()
			}
		}
		err := c.ask(l.requests[random.IntN(benchKeys)])
		if l.phase.Load() != 1 {
			continue
		}
		if err != nil {
			l.failed(err)
			continue
		}
		samples = append(samples, time.Since(start))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.samples = append(l.samples, samples...)
}

func (l *load) failed(err error) {
	l.errors.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == "" {
		l.first = err.Error()
	}
}

// loadConn is a client's connection, made anew when it is gone.
type loadConn struct {
	load     *load
	conn     net.Conn
	deadline time.Time
	buffer   []byte
}

func (c *loadConn) close() {
	if c.conn != nil {
		_ = c.conn.Close()
	}
	c.conn = nil
}

// ask sends a request and reads its answer, which must be whole.
func (c *loadConn) ask(request []byte) error {
	err := c.try(request)
	if err != nil || c.load.spec.New {
		c.close()
	}
	return err
}

func (c *loadConn) try(request []byte) error {
	if c.conn == nil {
		conn, err := net.DialTimeout("tcp", c.load.spec.Address, answerWait)
		if err != nil {
			return err
		}
		c.conn, c.deadline = conn, time.Time{}
	}
	if now := time.Now(); c.deadline.Sub(now) < answerWait/2 {
		c.deadline = now.Add(answerWait)
		_ = c.conn.SetDeadline(c.deadline)
	}
	if _, err := c.conn.Write(request); err != nil {
		return err
	}
	return c.readAnswer()
}

func (c *loadConn) readAnswer() error {
	n, end := 0, -1
	for end < 0 {
		more, err := c.conn.Read(c.buffer[n:])
		n += more
		if end = bytes.Index(c.buffer[:n], []byte("\r\n\r\n")); end < 0 && err != nil {
			return err
		}
	}
	if head := string(c.buffer[:min(n, 12)]); head != "HTTP/1.1 200" {
		return fmt.Errorf("an answer begins with %q", head)
	}
	want := end + len("\r\n\r\n") + c.load.spec.Size
	for n < want {
		more, err := c.conn.Read(c.buffer)
		if n += more; err != nil && (n != want || !errors.Is(err, io.EOF)) {
			return err
		}
	}
	if n != want {
		return fmt.Errorf("an answer of %d octets, not %d", n, want)
	}
	return nil
}

// cpuNanoseconds is what the threads of a process ran. The scheduler counts it finer than the ticks of
// /proc/pid/stat; threads that ended are missing, and proxies keep theirs.
func cpuNanoseconds(pid int) (sum time.Duration) {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		panic(err)
	}
	for _, thread := range threads {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/schedstat", pid, thread.Name()))
		if err != nil {
			continue // it has ended
		}
		ran, _, _ := strings.Cut(string(raw), " ")
		var nanoseconds int64
		if _, err := fmt.Sscan(ran, &nanoseconds); err != nil {
			panic(err)
		}
		sum += time.Duration(nanoseconds)
	}
	return sum
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	switch n := len(sorted); {
	case n == 0:
		return 0
	case n%2 == 1:
		return sorted[n/2]
	default:
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
}
