package observability

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

var updateDocs = flag.Bool("update-docs", false, "write docs/metrics.md anew")

const metricsDoc = "../../docs/metrics.md"

// ownPrefix begins the names of Stead's metrics; others are those of Go and the operating system.
const ownPrefix = "stead_"

// TestMetricsAreDocumented: docs/metrics.md lists what running processes export, to the letter.
func TestMetricsAreDocumented(t *testing.T) {
	want := metricsPage(startCluster(t))
	if *updateDocs {
		if err := os.WriteFile(metricsDoc, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(metricsDoc)
	if err != nil || string(got) != want {
		t.Fatalf("%s is not what the processes export (%v); run go test ./tests/observability -update-docs", metricsDoc, err)
	}
}

func metricsPage(processes []process) string {
	var page strings.Builder
	page.WriteString(`# Metrics

Every process exports Prometheus text. Names end in their unit (` + "`_seconds`, `_bytes`" + `), counters in ` + "`_total`" + `; what has no unit
counts what it is named after. Each also exports ` + "`go_*` and `process_*`" + `: memory, garbage collection, CPU, open files.
Watch all members: the fleet of proxies, and how nodes beat, only the leader knows.

[grafana/stead.json](grafana/stead.json) is a dashboard over these, [prometheus/alerts.yml](prometheus/alerts.yml) rules for alerts.
This page is made by a test from running processes.
`)
	for _, process := range processes {
		fmt.Fprintf(&page, "\n## %s\n\n%s.\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n", process.name, process.where)
		for _, metric := range process.metrics {
			if strings.HasPrefix(metric.name, ownPrefix) {
				fmt.Fprintf(&page, "| `%s` | %s | %s | %s |\n", metric.name, metric.kind, strings.Join(metric.labels, ", "), metric.help)
			}
		}
	}
	return page.String()
}

var goodName = regexp.MustCompile(`^stead_[a-z]+(_[a-z]+)*$`)

// TestMetricsAreNamedWell: Prometheus' rules for names, and a sentence of help for each.
func TestMetricsAreNamedWell(t *testing.T) {
	for _, process := range startCluster(t) {
		for _, metric := range process.metrics {
			if !strings.HasPrefix(metric.name, ownPrefix) {
				continue
			}
			counter := metric.kind == "counter"
			switch {
			case !goodName.MatchString(metric.name):
				t.Errorf("%s: %s is not lower-case words", process.name, metric.name)
			case counter != strings.HasSuffix(metric.name, "_total"):
				t.Errorf("%s: %s is a %s; counters and nothing else end in _total", process.name, metric.name, metric.kind)
			case metric.kind == "histogram" && !strings.HasSuffix(metric.name, "_seconds") && !strings.HasSuffix(metric.name, "_bytes"):
				t.Errorf("%s: %s is a histogram without a unit", process.name, metric.name)
			case !strings.HasSuffix(metric.help, "."):
				t.Errorf("%s: %s has no sentence of help", process.name, metric.name)
			}
		}
	}
}
