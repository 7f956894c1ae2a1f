//go:build bench && linux

package bench

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	proxyRounds      = flag.Int("proxy-rounds", 5, "rounds, in each of which every proxy has its turn with every load")
	proxyTime        = flag.Duration("proxy-time", 400*time.Millisecond, "how long a turn is measured")
	proxyConnections = flag.String("proxy-connections", "16,64,256", "clients' connections")
	proxySizes       = flag.String("proxy-sizes", "64,1024,65536", "octets of answers")
	proxyKinds       = flag.String("proxy-kinds", "keep-alive,new", "keep-alive, or new connections for each request")
	proxyJSON        = flag.Bool("json", false, "print figures as JSON, an object a line")
	halfRounds       = flag.Int("half-rounds", 9, "rounds at half of saturation")
	idleConnections  = flag.Int("idle-connections", 8000, "idle connections; the proxies and the load need as many open files each")
	halfPart         = flag.Float64("half-part", .5, "the part of saturation that is asked of each proxy")
	halfTime         = flag.Duration("half-time", 2*time.Second, "how long a turn at half of saturation is measured")
)

const (
	backendCount = 3
	idleFor      = 3 * time.Second        // before memory is measured
	turnWarm     = 100 * time.Millisecond // before a turn is measured
)

// cell is one load: so many connections, of one kind, that ask for answers of one size.
type cell struct {
	Connections, Size int
	Kind              string
}

func (c cell) String() string {
	return fmt.Sprintf("%d connections, %d octets, %s", c.Connections, c.Size, c.Kind)
}

// The cell that the last line is of.
var headline = cell{64, 64, "keep-alive"}

// standing is the figures of one proxy in one cell, over all rounds.
type standing struct {
	Proxy string
	cell
	RequestsPerSecond, CPUMicroseconds  float64 // medians; CPU is a request's
	MegabytesPerCPUSecond               float64
	P50Milliseconds, P99Milliseconds    float64
	Errors                              int64
	FirstError                          string  `json:",omitempty"`
	RatioToHAProxy, RatioOfP99ToHAProxy float64 // medians of the rounds' ratios, the first of CPU; 0: there is no HAProxy
	rates, cpus, p50s, p99s             []float64
}

// TestProxies measures proxies in front of the same back ends, in turns within each round: CPU per request, by
// the proxy's process, holds on a busy machine, where requests per second do not.
func TestProxies(t *testing.T) {
	cells := cellsAsked(t)
	at := startBackends(t, backendCount)
	all := startAll(t, at)
	boards := make(map[cell][]*standing)
	for round := range *proxyRounds {
		for _, cell := range cells {
			fmt.Fprintf(os.Stderr, "round %d of %d: %s\n", round+1, *proxyRounds, cell)
			if boards[cell] == nil {
				boards[cell] = newBoard(all, cell)
			}
			for turn := range all {
				i := (turn + round) % len(all)
				boards[cell][i].take(runLoad(t, cell.spec(all[i])))
			}
		}
	}
	var table figures
	table.add("connections", "octets", "kind", "proxy", "requests/s", "CPU µs/request", "MB/CPU s", "p50 ms", "p99 ms", "errors", "CPU/haproxy")
	for _, cell := range cells {
		for _, s := range summed(boards[cell]) {
			s.show(t, &table)
		}
	}
	if !*proxyJSON {
		table.print(fmt.Sprintf("proxies on one core's worth each, medians of %d rounds of %v", *proxyRounds, *proxyTime))
	}
	lastWords = ratioLine(boards[headline])
}

// cellsAsked reads the flags.
func cellsAsked(t testing.TB) (cells []cell) {
	t.Helper()
	for _, kind := range strings.Split(*proxyKinds, ",") {
		for _, connections := range numbers(t, *proxyConnections) {
			for _, size := range numbers(t, *proxySizes) {
				cells = append(cells, cell{connections, size, kind})
			}
		}
	}
	return cells
}

func numbers(t testing.TB, list string) (all []int) {
	t.Helper()
	for _, text := range strings.Split(list, ",") {
		number, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, number)
	}
	return all
}

func (c cell) spec(proxy running) loadSpec {
	return loadSpec{
		Address: proxy.address, PID: proxy.process.PID(), Connections: c.Connections, Size: c.Size, New: c.Kind == "new",
		Warm: turnWarm, Time: *proxyTime,
	}
}

func newBoard(all []running, cell cell) (board []*standing) {
	for _, proxy := range all {
		board = append(board, &standing{Proxy: proxy.name, cell: cell})
	}
	return board
}

// take adds a round's figures.
func (s *standing) take(f loadFigures) {
	s.rates = append(s.rates, float64(f.Requests)/f.Elapsed.Seconds())
	s.cpus = append(s.cpus, f.cpuEach())
	s.p50s = append(s.p50s, f.P50.Seconds()*1000)
	s.p99s = append(s.p99s, f.P99.Seconds()*1000)
	s.Errors += f.Errors
	if s.FirstError == "" {
		s.FirstError = f.First
	}
}

// summed takes the medians of a board.
func summed(board []*standing) []*standing {
	var measure *standing
	for _, s := range board {
		if s.Proxy == contenderHAProxy {
			measure = s
		}
	}
	for _, s := range board {
		s.RequestsPerSecond, s.CPUMicroseconds = median(s.rates), median(s.cpus)
		s.P50Milliseconds, s.P99Milliseconds = median(s.p50s), median(s.p99s)
		if s.CPUMicroseconds > 0 {
			s.MegabytesPerCPUSecond = float64(s.Size) / s.CPUMicroseconds
		}
		if measure != nil {
			s.RatioToHAProxy, s.RatioOfP99ToHAProxy = medianRatio(s.cpus, measure.cpus), medianRatio(s.p99s, measure.p99s)
		}
	}
	return board
}

// medianRatio is the median of the ratios within rounds.
func medianRatio(ours, theirs []float64) float64 {
	var ratios []float64
	for i := range ours {
		if theirs[i] > 0 {
			ratios = append(ratios, ours[i]/theirs[i])
		}
	}
	return median(ratios)
}

func (s *standing) show(t testing.TB, table *figures) {
	if s.Errors > 0 {
		fmt.Fprintf(os.Stderr, "%s, %s: %d errors, the first: %s\n", s.Proxy, s.cell, s.Errors, s.FirstError)
	}
	if *proxyJSON {
		encoded, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println(string(encoded))
		return
	}
	table.add(s.Connections, s.Size, s.Kind, s.Proxy, fmt.Sprintf("%.0f", s.RequestsPerSecond), fmt.Sprintf("%.1f", s.CPUMicroseconds),
		fmt.Sprintf("%.0f", s.MegabytesPerCPUSecond), fmt.Sprintf("%.2f", s.P50Milliseconds), fmt.Sprintf("%.2f", s.P99Milliseconds),
		s.Errors, fmt.Sprintf("%.2f", s.RatioToHAProxy))
}

// ratioLine sums a board up: CPU per request to HAProxy's, "-" where one of the two did not run.
func ratioLine(board []*standing) string {
	ratios := map[string]string{contenderMux: "-", contenderHTTP: "-"}
	for _, s := range board {
		if s.RatioToHAProxy > 0 {
			ratios[s.Proxy] = fmt.Sprintf("%.2f", s.RatioToHAProxy)
		}
	}
	return fmt.Sprintf("ratio to haproxy: mux %s http %s\n", ratios[contenderMux], ratios[contenderHTTP])
}

// TestProxiesAtHalf measures how long answers take at half the rate that saturates HAProxy, in turns.
func TestProxiesAtHalf(t *testing.T) {
	at := startBackends(t, backendCount)
	all := startAll(t, at)
	rate := saturation(t, all) * *halfPart
	board := newBoard(all, headline)
	for round := range *halfRounds {
		fmt.Fprintf(os.Stderr, "round %d of %d: %.0f requests/s\n", round+1, *halfRounds, rate)
		for turn := range all {
			i := (turn + round) % len(all)
			spec := headline.spec(all[i])
			spec.Rate, spec.Time = rate, *halfTime
			board[i].take(runLoad(t, spec))
		}
	}
	var table figures
	table.add("proxy", "requests/s", "CPU µs/request", "p50 ms", "p99 ms", "errors", "p99/haproxy")
	for _, s := range summed(board) {
		table.add(s.Proxy, fmt.Sprintf("%.0f", s.RequestsPerSecond), fmt.Sprintf("%.1f", s.CPUMicroseconds), fmt.Sprintf("%.2f", s.P50Milliseconds),
			fmt.Sprintf("%.2f", s.P99Milliseconds), s.Errors, fmt.Sprintf("%.2f", s.RatioOfP99ToHAProxy))
	}
	table.print(fmt.Sprintf("proxies at %g of saturation, 64 connections, answers of 64 octets, medians of %d rounds of %v", *halfPart, *halfRounds, *halfTime))
}

// TestProxiesIdle measures what idle connections cost, each of which has carried a request.
func TestProxiesIdle(t *testing.T) {
	at := startBackends(t, backendCount)
	var table figures
	table.add("proxy", "connections", "resident MiB", "errors")
	for _, proxy := range startAll(t, at) {
		before := residentOf(t, proxy.process.PID())
		held := runLoad(t, loadSpec{Address: proxy.address, PID: proxy.process.PID(), Connections: *idleConnections, Size: 64, Idle: true, Time: idleFor})
		table.add(proxy.name, 0, before, 0)
		table.add(proxy.name, held.Requests, held.Resident>>20, held.Errors)
	}
	table.print("memory of idle connections")
}

// saturation is the rate that HAProxy reaches, or the first contender where there is none.
func saturation(t testing.TB, all []running) float64 {
	proxy := all[0]
	for _, candidate := range all {
		if candidate.name == contenderHAProxy {
			proxy = candidate
		}
	}
	var rates []float64
	for range 3 {
		figures := runLoad(t, headline.spec(proxy))
		rates = append(rates, float64(figures.Requests)/figures.Elapsed.Seconds())
	}
	return median(rates)
}
