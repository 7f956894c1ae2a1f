//go:build bench

// Package bench holds the benchmarks that stand beside other programs or run whole clusters. `make
// bench` runs them; docs/benchmarks.md says what each measures. It owns loads and figures, no
// assertions but those that a load must hold to be one.
package bench

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stead-io/stead/tests/cluster"
)

func TestMain(m *testing.M) {
	code := m.Run()
	cluster.RemoveBinary()
	fmt.Print(lastWords)
	os.Exit(code)
}

// lastWords are printed behind everything else, where scripts look for them.
var lastWords string

// figures is a table that is printed when it is complete.
type figures struct{ rows []string }

func (f *figures) add(cells ...any) {
	texts := make([]string, len(cells))
	for i, cell := range cells {
		texts[i] = fmt.Sprint(cell)
	}
	f.rows = append(f.rows, strings.Join(texts, "\t"))
}

// print writes the table under its title, and how busy the machine is: figures of a machine that does
// other things besides are no more than that.
func (f *figures) print(title string) {
	load, _ := os.ReadFile("/proc/loadavg") // other systems have none
	minute, _, _ := strings.Cut(string(load), " ")
	fmt.Printf("\n%s\n%d cores, load average %s\n", title, runtime.NumCPU(), minute)
	aligned := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range f.rows {
		fmt.Fprintln(aligned, row+"\t")
	}
	_ = aligned.Flush() // to stdout
}

// quantile is the value that the share q of all do not exceed.
func quantile[T float64 | time.Duration](values []T, q float64) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()*1000) }
