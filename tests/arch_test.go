// Package tests holds what crosses packages. This file keeps the rooms of the project apart.
package tests

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/stead-io/stead/"

// A rule says what packages may not reach, directly or through others of the project, and why.
type rule struct {
	from   string // room, with all below it
	except []string
	to     string // prefix of an import path; the project's own without the module
	direct bool   // only imports of the package itself count
	reason string
}

var rules = []rule{
	{from: "controlplane", to: "dataplane", reason: "planes meet in api, never in each other: each can be replaced alone"},
	{from: "controlplane", to: "nodesvc", reason: "planes meet in api, never in each other: each can be replaced alone"},
	{from: "dataplane", to: "controlplane", reason: "a proxy must work without the control plane's code, as it must without the control plane"},
	{from: "dataplane", to: "nodesvc", reason: "planes meet in api, never in each other: each can be replaced alone"},
	{from: "nodesvc", to: "controlplane", reason: "service authors import nodesvc; they must not get Raft with it"},
	{from: "nodesvc", to: "dataplane", reason: "service authors import nodesvc; they must not get the proxy with it"},
	{from: "nodesvc", except: []string{"nodesvc/collector", "nodesvc/kv", "nodesvc/sidecar"}, to: "github.com/prometheus/", direct: true, reason: "a service may count in its own way (Pebble brings the library along, but nobody registers anything); only who wants Prometheus imports nodesvc/collector"},
	{from: "nodesvc", except: []string{"nodesvc/collector", "nodesvc/kv", "nodesvc/sidecar"}, to: "nodesvc/collector", reason: "a service may count in its own way; only who wants Prometheus imports nodesvc/collector"},
	{from: "nodesvc/replication/transfer", to: "nodesvc/replication/slotlog", reason: "a state on its way needs a place to be kept, not a log"},
	{from: "api", to: "controlplane", reason: "the contract depends on none of its parties"},
	{from: "api", to: "dataplane", reason: "the contract depends on none of its parties"},
	{from: "api", to: "nodesvc", reason: "the contract depends on none of its parties"},

	{from: "controlplane/httpapi", to: "controlplane/peers", reason: "the API asks a Control; who finds whom is not HTTP's affair"},
	{from: "controlplane/webhooks", to: "controlplane/consensus", reason: "webhooks ask a Log; they must not know that there is Raft"},
	{from: "controlplane/webhooks", to: "controlplane/httpapi", reason: "what is posted is the contract's, not another room's"},
	{from: "controlplane/httpapi", to: "controlplane/consensus", reason: "the API asks a Control; it must not know that there is Raft"},
	{from: "", except: []string{"controlplane/consensus"}, to: "github.com/hashicorp/", direct: true, reason: "Raft's terms stay behind one door, so that another consensus could stand there"},
	{from: "", except: []string{"controlplane/dns"}, to: "github.com/miekg/dns", direct: true, reason: "DNS messages stay behind one door; the others know rosters"},
	{from: "", except: []string{"dataplane/tracing"}, to: "go.opentelemetry.io/", direct: true, reason: "OpenTelemetry stays behind one door, and off the way of requests; the others know requests and tries"},
	{from: "controlplane/dns", to: "controlplane/fsm", reason: "DNS answers from rosters, and works without a leader; the replicated state is not its affair"},
	{from: "controlplane/dns", to: "controlplane/consensus", reason: "DNS answers from rosters, and works without a leader; it must not know that there is Raft"},
	{from: "", except: []string{"dataplane", "tests"}, to: "github.com/valyala/fasthttp", direct: true, reason: "fasthttp is for the hot path; elsewhere net/http notices a client that leaves"},
	{from: "", except: []string{"nodesvc/kv", "nodesvc/replication/slotlog"}, to: "github.com/cockroachdb/", direct: true, reason: "a store is its owner's own affair: the reference KV's, and the replication log's"},
	{from: "", except: []string{"examples/sqlite"}, to: "modernc.org/", direct: true, reason: "SQLite is for an example; Stead itself has its stores"},
	{from: "nodesvc/kv", to: "nodesvc/replication", direct: true, reason: "the reference KV stands on the SDK alone: what it needs, every service gets"},
	{from: "nodesvc/sidecar", to: "nodesvc/replication", direct: true, reason: "the sidecar is a service like any other: it stands on the SDK"},
	{from: "examples", to: "nodesvc/replication", direct: true, reason: "examples show what a service imports: the SDK alone"},
	{from: "", except: []string{"cmd", "tests"}, to: "github.com/spf13/", direct: true, reason: "flags and environment live in cmd; packages get a Config"},
	{from: "", to: "github.com/dgryski/", reason: "other rings are for tests/bench to stand beside"},
	{from: "", to: "github.com/serialx/", reason: "other rings are for tests/bench to stand beside"},
	{from: "", to: "github.com/stathat/", reason: "other rings are for tests/bench to stand beside"},
	{from: "", to: "github.com/golang/groupcache", reason: "other rings are for tests/bench to stand beside"},
	{from: "", except: []string{"api/ring"}, to: "github.com/dchest/siphash", direct: true, reason: "there is one way to hash a key"},
}

// pure rooms take time, seeds and I/O as arguments: that is what makes them fuzzable and replayable.
var pure = []string{"api", "api/ring", "api/ownership", "dataplane/origin", "dataplane/shardkey", "dataplane/wire", "controlplane/fsm", "controlplane/planner", "controlplane/liveness", "controlplane/membership",
	"cmd/stead/simulate"}

// impure lists what a pure room may not import. api itself may speak HTTP's vocabulary.
var impure = []string{"os", "os/exec", "io/fs", "log", "log/slog", "math/rand", "math/rand/v2", "crypto/rand", "sync", "sync/atomic", "syscall", "context"}

// onlyRoots are imported by commands and tests alone.
var onlyRoots = []string{"controlplane", "dataplane"}

type goPackage struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string
	GoFiles    []string
}

func (p goPackage) room() string { return strings.TrimPrefix(p.ImportPath, module) }

func load(t *testing.T) []goPackage {
	t.Helper()
	command := exec.Command("go", "list", "-deps", "-json=ImportPath,Standard,Imports,Deps,GoFiles", "./...")
	command.Dir = ".."
	output, err := command.Output()
	if err != nil {
		t.Fatalf("cannot list packages: %v", err)
	}
	var packages []goPackage
	decoder := json.NewDecoder(strings.NewReader(string(output)))
	for {
		var p goPackage
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(p.ImportPath, module) {
			packages = append(packages, p)
		}
	}
	if len(packages) < 10 {
		t.Fatalf("only %d packages were found", len(packages))
	}
	return packages
}

func in(room, of string) bool {
	return of == "" || room == of || strings.HasPrefix(room, of+"/")
}

func TestRoomsStayApart(t *testing.T) {
	for _, p := range load(t) {
		for _, rule := range rules {
			if !in(p.room(), rule.from) || slices.ContainsFunc(rule.except, func(room string) bool { return in(p.room(), room) }) {
				continue
			}
			imports := p.Deps
			if rule.direct {
				imports = p.Imports
			}
			for _, path := range imports {
				local := strings.HasPrefix(path, module) && in(strings.TrimPrefix(path, module), rule.to)
				if local || strings.HasPrefix(path, rule.to) {
					t.Errorf("%s must not reach %s: %s", p.room(), path, rule.reason)
				}
			}
		}
	}
}

func TestRootsAreForCommandsAndTests(t *testing.T) {
	for _, p := range load(t) {
		if in(p.room(), "cmd") || in(p.room(), "tests") {
			continue
		}
		for _, root := range onlyRoots {
			if slices.Contains(p.Imports, module+root) {
				t.Errorf("%s must not import %s: a composition root wires everything, so nothing but a command or a test may hang on it", p.room(), root)
			}
		}
	}
}

func TestPureRoomsArePure(t *testing.T) {
	for _, p := range load(t) {
		if !slices.Contains(pure, p.room()) {
			continue
		}
		for _, path := range p.Imports {
			if slices.Contains(impure, path) {
				t.Errorf("%s must not import %s: pure rooms take the world as arguments, so that they can be fuzzed and replayed", p.room(), path)
			}
		}
	}
}

func TestTheContractNeedsTheStandardLibraryOnly(t *testing.T) {
	for _, p := range load(t) {
		if p.room() != "api" && p.room() != "api/transport" && p.room() != "api/durable" && p.room() != "api/build" && p.room() != "api/frames" {
			continue
		}
		for _, path := range p.Deps {
			if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") && !strings.HasPrefix(path, module) {
				t.Errorf("%s must not reach %s: whoever speaks the contract should need nothing else", p.room(), path)
			}
		}
	}
}

func TestProductionCodeDoesNotTest(t *testing.T) {
	for _, p := range load(t) {
		if !in(p.room(), "tests") && slices.Contains(p.Imports, "testing") {
			t.Errorf("%s must not import testing: test code lives in _test.go files and in tests", p.room())
		}
	}
}

func TestNoRoomForOddsAndEnds(t *testing.T) {
	for _, p := range load(t) {
		name := p.room()[strings.LastIndex(p.room(), "/")+1:]
		if slices.Contains([]string{"util", "utils", "common", "helpers", "types", "models", "misc"}, name) {
			t.Errorf("%s is named after nothing: name it by what it holds", p.room())
		}
	}
}
