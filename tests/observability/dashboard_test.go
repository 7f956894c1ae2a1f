package observability

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	dashboardFile = "../../docs/grafana/stead.json"
	alertsFile    = "../../docs/prometheus/alerts.yml"
)

// panel is what this test reads of a Grafana panel.
type panel struct {
	ID          int
	Type, Title string
	Description string
	Targets     []struct{ Expr, LegendFormat string }
}

func panels(t *testing.T) []panel {
	t.Helper()
	raw, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		UID, Title string
		Panels     []panel
	}
	if err := json.Unmarshal(raw, &dashboard); err != nil {
		t.Fatal(err)
	}
	if dashboard.UID == "" || dashboard.Title == "" || len(dashboard.Panels) == 0 {
		t.Fatalf("%s is no dashboard", dashboardFile)
	}
	return dashboard.Panels
}

// TestDashboardIsWhole: every panel has a number of its own, a title, a description and a question.
func TestDashboardIsWhole(t *testing.T) {
	seen := map[int]bool{}
	var rows []string
	for _, panel := range panels(t) {
		if seen[panel.ID] || panel.Title == "" {
			t.Errorf("panel %d %q has no number or title of its own", panel.ID, panel.Title)
		}
		seen[panel.ID] = true
		switch {
		case panel.Type == "row":
			rows = append(rows, panel.Title)
		case panel.Description == "" || len(panel.Targets) == 0:
			t.Errorf("panel %q has no description, or asks nothing", panel.Title)
		}
	}
	if want := []string{"Cluster", "Ring", "Nodes", "Proxies", "Requests"}; !slices.Equal(rows, want) {
		t.Errorf("the rows are %v, not %v", rows, want)
	}
}

// rule is an alert, as far as this test reads it.
type rule struct{ name, expr, severity, summary, description string }

var ruleLine = regexp.MustCompile(`^\s*(?:- )?(alert|expr|labels|summary|description): (.*)$`)

// alerts reads the rules line by line: the file keeps to one line a field.
func alerts(t *testing.T) []rule {
	t.Helper()
	raw, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	var rules []rule
	for line := range strings.Lines(string(raw)) {
		found := ruleLine.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if found == nil {
			continue
		}
		if found[1] == "alert" {
			rules = append(rules, rule{name: found[2]})
			continue
		}
		if len(rules) == 0 {
			t.Fatalf("%q stands before the first alert", found[0])
		}
		last := &rules[len(rules)-1]
		field := map[string]*string{"expr": &last.expr, "labels": &last.severity, "summary": &last.summary, "description": &last.description}[found[1]]
		*field = found[2]
	}
	return rules
}

func TestAlertsAreWhole(t *testing.T) {
	rules := alerts(t)
	if len(rules) < 10 {
		t.Errorf("only %d rules were found", len(rules))
	}
	names := map[string]bool{}
	for _, rule := range rules {
		severity := rule.severity == "{severity: page}" || rule.severity == "{severity: ticket}"
		if names[rule.name] || !strings.HasPrefix(rule.name, "Stead") || rule.expr == "" || !severity || rule.summary == "" || rule.description == "" {
			t.Errorf("rule %+v is not whole", rule)
		}
		names[rule.name] = true
	}
	if promtool, err := exec.LookPath("promtool"); err == nil {
		if output, err := exec.Command(promtool, "check", "rules", alertsFile).CombinedOutput(); err != nil {
			t.Errorf("promtool: %v\n%s", err, output)
		}
	}
}

// TestNothingElseIsAskedFor: every metric and label in dashboard and alerts is exported by some process.
func TestNothingElseIsAskedFor(t *testing.T) {
	exported := map[string]metric{}
	for _, process := range startCluster(t) {
		for _, metric := range process.metrics {
			exported[metric.name] = metric
		}
	}
	for _, panel := range panels(t) {
		for _, target := range panel.Targets {
			checkExpression(t, exported, "panel "+panel.Title, target.Expr)
			for _, label := range legendLabel.FindAllStringSubmatch(target.LegendFormat, -1) {
				checkLabel(t, exported, "panel "+panel.Title, target.Expr, label[1])
			}
		}
	}
	for _, rule := range alerts(t) {
		checkExpression(t, exported, "alert "+rule.name, rule.expr)
	}
}

var (
	metricName  = regexp.MustCompile(`\b(stead|go|process)_[a-z0-9_]+`)
	matcher     = regexp.MustCompile(`([a-z_]+)(?:=~|!~|!=|=)"`)
	grouping    = regexp.MustCompile(`\bby \(([^)]*)\)`)
	legendLabel = regexp.MustCompile(`\{\{([a-z_]+)\}\}`)
)

func checkExpression(t *testing.T, exported map[string]metric, where, expression string) {
	t.Helper()
	names := metricName.FindAllString(expression, -1)
	if len(names) == 0 || strings.Count(expression, "(") != strings.Count(expression, ")") {
		t.Errorf("%s: %s names no metric, or its parentheses do not match", where, expression)
	}
	for _, name := range names {
		if _, known := find(exported, name); !known {
			t.Errorf("%s: no process exports %s", where, name)
		}
	}
	for _, label := range matcher.FindAllStringSubmatch(expression, -1) {
		checkLabel(t, exported, where, expression, label[1])
	}
	for _, group := range grouping.FindAllStringSubmatch(expression, -1) {
		for label := range strings.SplitSeq(group[1], ",") {
			checkLabel(t, exported, where, expression, strings.TrimSpace(label))
		}
	}
}

// checkLabel: some metric of the expression has the label; Prometheus itself adds instance and job.
func checkLabel(t *testing.T, exported map[string]metric, where, expression, label string) {
	t.Helper()
	if label == "instance" || label == "job" {
		return
	}
	for _, name := range metricName.FindAllString(expression, -1) {
		metric, _ := find(exported, name)
		if slices.Contains(metric.labels, label) || label == "le" && metric.kind == "histogram" {
			return
		}
	}
	t.Errorf("%s: nothing in %s has a label %s", where, expression, label)
}

// find knows the series of a histogram by its name.
func find(exported map[string]metric, name string) (metric, bool) {
	if found, known := exported[name]; known && found.kind != "histogram" {
		return found, true
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if base, cut := strings.CutSuffix(name, suffix); cut && exported[base].kind == "histogram" {
			return exported[base], true
		}
	}
	return metric{}, false
}
