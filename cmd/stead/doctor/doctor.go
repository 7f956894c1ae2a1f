// Package doctor looks at a cluster as a whole and says what is wrong with it and what to do.
//
// It owns what is checked and what counts as worth a warning. Gathering asks every process it can reach,
// within bounds; each check is a pure function of what was gathered. Its invariant: it changes nothing,
// and it says something useful of a control plane that is half down.
package doctor

import "fmt"

// Level is how bad a finding is.
type Level int

// Levels, in the order of their exit codes.
const (
	OK   Level = iota
	Warn       // it works; somebody should look at it
	Fail       // requests fail, or nothing can change
)

var levelNames = [...]string{OK: "ok", Warn: "warn", Fail: "fail"}

func (l Level) String() string { return levelNames[l] }

// MarshalText writes the level as people read it.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// Finding is one line of the report.
type Finding struct {
	Level Level  `json:"level"`
	Check string `json:"check"`
	What  string `json:"what"`
	Do    string `json:"do,omitempty"`
}

// Worst is the level of the worst finding.
func Worst(findings []Finding) (worst Level) {
	for _, finding := range findings {
		worst = max(worst, finding.Level)
	}
	return worst
}

// check looks at one subject. It reports what is wrong, and says with report.ok what is as it should be.
type check struct {
	name string
	look func(*Facts, *report)
}

// checks are all there are, in the order of the report.
var checks = []check{
	{"members", checkMembers},
	{"quorum", checkQuorum},
	{"clocks", checkClocks},
	{"log", checkLog},
	{"levels", checkLevels},
	{"builds", checkBuilds},
	{"disks", checkDisks},
	{"ports", checkPorts},
	{"ring", checkRing},
	{"nodes", checkNodes},
	{"proxies", checkProxies},
	{"alarms", checkAlarms},
	{"history", checkHistory},
}

// Examine checks what was gathered. With no member to ask there is one finding.
func Examine(facts *Facts) []Finding {
	if facts.Cluster == nil {
		do := "start them, or say where they are with --control"
		if facts.Unknown {
			do = "say who you are: --tls-cert, --tls-key and --tls-ca, or --tls-ca with --token-file"
		}
		return []Finding{{Fail, "members", "no control-plane member answers: " + facts.Silence, do}}
	}
	var findings []Finding
	for _, check := range checks {
		r := &report{check: check.name}
		check.look(facts, r)
		findings = append(findings, r.lines()...)
	}
	return findings
}

// report collects the findings of one check.
type report struct {
	check    string
	findings []Finding
	fine     string
}

func (r *report) warn(do, format string, args ...any) { r.add(Warn, do, format, args...) }
func (r *report) fail(do, format string, args ...any) { r.add(Fail, do, format, args...) }

// ok is what to say if nothing is wrong.
func (r *report) ok(format string, args ...any) { r.fine = fmt.Sprintf(format, args...) }

func (r *report) add(level Level, do, format string, args ...any) {
	r.findings = append(r.findings, Finding{level, r.check, fmt.Sprintf(format, args...), do})
}

func (r *report) lines() []Finding {
	if len(r.findings) == 0 {
		return []Finding{{OK, r.check, r.fine, ""}}
	}
	return r.findings
}
