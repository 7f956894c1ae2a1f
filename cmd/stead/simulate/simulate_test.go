package simulate

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
)

// TestJump holds jump to the vectors of the paper's reference code and of Guava.
func TestJump(t *testing.T) {
	f := func(key uint64, buckets, want int) {
		t.Helper()
		if got := jumpTo(key, buckets); got != want {
			t.Errorf("jump(%d, %d) is %d, want %d", key, buckets, got, want)
		}
	}
	for key, want := range []int{0, 55, 62, 8, 45, 59, 86, 97, 82, 59, 73, 37, 17, 56, 86, 21, 90, 37, 38, 83} {
		f(uint64(key), 100, want)
	}
	for i, want := range []int{0, 1, 2, 3, 3, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 16, 16, 16} {
		f(0xdeadbeef, i+1, want)
	}
	f(10863919174838991, 11, 6)
	f(2016238256797177309, 11, 3)
	f(2, 100001, 80343)
	f(2202, 100001, 15018)
}

// simulated runs a config over made-up keys, with a clock that stands.
func simulated(t *testing.T, config Config) Report {
	t.Helper()
	if config.Bits == 0 {
		config.Bits = api.SlotBitsDefault
	}
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	report, err := Run(config, MadeUp(config), still)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

var still = Observer{
	Now:      func() time.Time { return time.Time{} },
	Progress: func(int) error { return nil },
}

func scheme(t *testing.T, report Report, name string) Scheme {
	t.Helper()
	i := slices.IndexFunc(report.Schemes, func(s Scheme) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("no scheme %s", name)
	}
	return report.Schemes[i]
}

func about(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance {
		t.Errorf("%s is %.4f, want %.4f ± %.4f", what, got, want, tolerance)
	}
}

// TestOneMoreNode: what is known of each scheme when the eleventh node comes.
func TestOneMoreNode(t *testing.T) {
	report := simulated(t, Config{Nodes: 10, Add: 1, Keys: 200_000, Seed: 7})
	if report.Minimum != 18182 {
		t.Errorf("the minimum is %d, want 200,000/11", report.Minimum)
	}
	about(t, "modular's share", scheme(t, report, "modular").Share, 10.0/11, 0.01)
	for _, name := range []string{"rendezvous", "jump", "stead slots"} {
		about(t, name+"'s ratio", scheme(t, report, name).Ratio, 1, 0.03)
		about(t, name+"'s peak", scheme(t, report, name).PeakAfter, 1, 0.03)
	}
	about(t, "maglev's ratio", scheme(t, report, "maglev").Ratio, 1.05, 0.08)
	about(t, "the vnode ring's ratio", scheme(t, report, "vnode ring").Ratio, 1, 0.3)
}

// TestWhoMoves: in the schemes that are consistent a key moves only to a node that came or from one that went.
func TestWhoMoves(t *testing.T) {
	config := Config{Nodes: 8, Add: 1, Remove: 2, Keys: 20_000, Bits: 12, Seed: 3}
	before, after := config.nodes()
	hashes := make([]uint64, config.Keys)
	if _, err := MadeUp(config)(hashes); err != nil {
		t.Fatal(err)
	}
	stays := func(id int32) bool {
		among := func(list []node) bool { return slices.ContainsFunc(list, func(n node) bool { return n.id == int(id) }) }
		return among(before) && among(after)
	}
	for _, run := range contenders(config, before, after) {
		if run.Name != "vnode ring" && run.Name != "rendezvous" {
			continue
		}
		was, is := make([]int32, len(hashes)), make([]int32, len(hashes))
		run.before.locate(hashes, was)
		run.after.locate(hashes, is)
		for i := range was {
			if was[i] != is[i] && stays(was[i]) && stays(is[i]) {
				t.Fatalf("%s: key %d went from %d to %d, and both stay", run.Name, i, was[i], is[i])
			}
		}
	}
}

func TestRemoval(t *testing.T) {
	report := simulated(t, Config{Nodes: 10, Remove: 3, Keys: 100_000, Seed: 5})
	if report.Minimum != 30_000 {
		t.Errorf("the minimum is %d, want the keys of three nodes in ten", report.Minimum)
	}
	if jump := scheme(t, report, "jump"); jump.Reason == "" || jump.Moved != 0 {
		t.Errorf("jump cannot lose arbitrary nodes: %+v", jump)
	}
	about(t, "the slots' ratio", scheme(t, report, "stead slots").Ratio, 1, 0.02)
}

func TestWeights(t *testing.T) {
	report := simulated(t, Config{Nodes: 4, Add: 1, Weights: []int{3, 1, 1, 5, 2}, Keys: 200_000, Bits: 14, Seed: 2})
	if report.Minimum != 200_000*2/12 {
		t.Errorf("the minimum is %d, want two twelfths", report.Minimum)
	}
	for _, name := range []string{"modular", "rendezvous", "jump", "maglev", "stead slots"} {
		about(t, name+"'s peak", scheme(t, report, name).PeakAfter, 1, 0.03)
	}
}

func TestTheSeedDecides(t *testing.T) {
	config := Config{Nodes: 9, Add: 2, Remove: 1, Keys: 30_000, Seed: 11}
	first, again := simulated(t, config), simulated(t, config)
	config.Seed++
	if other := simulated(t, config); !slices.Equal(first.Schemes, again.Schemes) || slices.Equal(first.Schemes, other.Schemes) {
		t.Error("the same seed must give the same figures, another seed others")
	}
}

func TestValidate(t *testing.T) {
	f := func(config Config, want string) {
		t.Helper()
		if config.Bits == 0 {
			config.Bits = 12
		}
		err := config.Validate()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", config, err, want)
		}
	}
	f(Config{Nodes: 0, Add: 1}, "nodes: 0")
	f(Config{Nodes: NodesMax + 1, Add: 1}, "nodes: 10001")
	f(Config{Nodes: 3, Add: -1}, "add: -1")
	f(Config{Nodes: 3, Remove: 3}, "remove: 3")
	f(Config{Nodes: 3, Remove: -3, Add: 1}, "remove: -3")
	f(Config{Nodes: 3}, "nothing would change")
	f(Config{Nodes: 3, Add: 1, Keys: -1}, "keys: -1")
	f(Config{Nodes: 1, Add: 1, Weights: []int{1, 2, 3}}, "3 are given for 2 nodes")
	f(Config{Nodes: 1, Add: 1, Weights: []int{0}}, "weights: 0")
	f(Config{Nodes: NodesMax, Add: 1, Weights: slices.Repeat([]int{1000}, NodesMax)}, "sum up to more")
	f(Config{Nodes: 1, Add: 1, Bits: 20}, "slots: 2^20")
}

func TestLines(t *testing.T) {
	f := func(file string, want int, trouble string) {
		t.Helper()
		report, err := Run(Config{Nodes: 2, Add: 1, Bits: 8}, Lines(Config{}, strings.NewReader(file)), still)
		if trouble != "" {
			if err == nil || !strings.Contains(err.Error(), trouble) {
				t.Errorf("%.20q: %v, want %q", file, err, trouble)
			}
			return
		}
		if err != nil || report.Keys != want {
			t.Errorf("%.20q: %d keys, %v; want %d", file, report.Keys, err, want)
		}
	}
	longest := strings.Repeat("k", api.KeyLengthMax)
	f("a\nb\nc\n", 3, "")
	f("a\r\nb\r\n\r\na", 3, "")
	f(strings.Repeat("key\n", 3*blockSize+1), 3*blockSize+1, "")
	f(longest+"\r\n"+longest, 2, "")
	f("", 0, ErrNoKeys.Error())
	f("\n\n", 0, ErrNoKeys.Error())
	f("a\n"+longest+"k\nb\n", 0, "line 2 is longer")
	f("a\n\n"+longest+longest, 0, "line 3 is longer")
}

func TestProgressEndsTheSimulation(t *testing.T) {
	config := Config{Nodes: 2, Add: 1, Keys: 10 * blockSize, Bits: 8}
	stop, calls := errors.New("stop"), 0
	_, err := Run(config, MadeUp(config), Observer{Now: still.Now, Progress: func(int) error { calls++; return stop }})
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}
