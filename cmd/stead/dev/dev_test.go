package dev

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/stead-io/stead/api"
)

// childVariable makes this test binary play a process of the cluster. Its value says how: "" well,
// "fail" n1 dies at once, "stubborn" n1 ignores SIGTERM.
const childVariable = "DEV_TEST_CHILD"

func TestMain(m *testing.M) {
	if how, set := os.LookupEnv(childVariable); set {
		child(how, os.Args[1:])
		return
	}
	goleak.VerifyTestMain(m)
}

// child plays a process: it leaves a file with its address where the control plane, played too,
// finds it, and another when it is asked to stop.
func child(how string, args []string) {
	values := map[string]string{"role": args[0]}
	for i := 1; i+1 < len(args); i += 2 {
		values[strings.TrimPrefix(args[i], "--")] = args[i+1]
	}
	id := filepath.Base(values["data-dir"])
	folder := filepath.Dir(values["data-dir"])
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM)
	fmt.Println("started with", len(args), "arguments")
	if id == "n1" && how == "fail" {
		fmt.Fprintln(os.Stderr, "n1 cannot open its store")
		os.Exit(3)
	}
	switch values["role"] {
	case "control":
		go serveControl(values["listen"], folder)
		go serveDNS(values["dns-listen"], folder)
	case "proxy":
		ready := func(http.ResponseWriter, *http.Request) {}
		go func() { _ = http.ListenAndServe(values["admin-listen"], http.HandlerFunc(ready)) }()
	}
	note(folder, id+".address", values["listen"])
	<-terminate
	if id == "n1" && how == "stubborn" {
		<-terminate
	}
	note(folder, "stopped."+id, time.Now().Format(time.RFC3339Nano))
}

func note(folder, name, text string) {
	if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
		panic(err)
	}
}

// serveControl answers what readiness asks, from the files of the other children.
func serveControl(address, folder string) {
	found := func(prefix string) map[string]string {
		addresses := map[string]string{}
		files, _ := filepath.Glob(filepath.Join(folder, prefix+"*.address"))
		for _, file := range files {
			text, _ := os.ReadFile(file)
			addresses[strings.TrimSuffix(filepath.Base(file), ".address")] = string(text)
		}
		return addresses
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/v1/cluster", answer(func() any { return api.Cluster{Leader: "c1-1", Version: api.Version{Generation: 1, Number: 1}} }))
	mux.HandleFunc("/v1/nodes", answer(func() any {
		var list api.NodeList
		for id, at := range found("n") {
			list.Nodes = append(list.Nodes, api.Node{
				Registration: api.Registration{ID: api.NodeID(id), Address: at}, Status: api.NodeUp,
			})
		}
		return list
	}))
	mux.HandleFunc("/v1/proxies", answer(func() any {
		var list api.ProxyList
		for id := range found("p") {
			list.Proxies = append(list.Proxies, api.Proxy{ID: api.ProxyID(id), Version: api.Version{Generation: 1, Number: 1}})
		}
		return list
	}))
	_ = http.ListenAndServe(address, mux)
}

// serveDNS answers every question with one service for each proxy that is there.
func serveDNS(address, folder string) {
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		panic(err)
	}
	buffer := make([]byte, 1<<10)
	for {
		length, from, err := conn.ReadFrom(buffer)
		if err != nil {
			panic(err)
		}
		var message dnsmessage.Message
		if message.Unpack(buffer[:length]) != nil {
			continue
		}
		message.Response, message.Additionals = true, nil
		proxies, _ := filepath.Glob(filepath.Join(folder, "p*.address"))
		for range proxies {
			message.Answers = append(message.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: message.Questions[0].Name, Class: dnsmessage.ClassINET},
				Body:   &dnsmessage.SRVResource{Target: dnsmessage.MustNewName("p.example."), Port: 80},
			})
		}
		if packed, err := message.Pack(); err == nil {
			_, _ = conn.WriteTo(packed, from)
		}
	}
}

func answer(value func() any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(value()) }
}

// screen collects what the cluster prints.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
	said chan struct{} // receives after each line
}

func newScreen() *screen { return &screen{said: make(chan struct{}, 1)} }

func (s *screen) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.said <- struct{}{}:
	default:
	}
	return s.text.Write(line)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func (s *screen) await(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for !strings.Contains(s.String(), text) {
		select {
		case <-s.said:
		case <-deadline:
			t.Fatalf("%q was not printed, but:\n%s", text, s)
		}
	}
}

func testConfig(t *testing.T, how string) (Config, *screen) {
	t.Helper()
	t.Setenv(childVariable, how)
	t.Setenv("GORACE", "atexit_sleep_ms=0") // a race detector's second at every child's end
	t.Setenv("STEAD_LISTEN", "would be taken for a flag")
	config, err := NewConfig()
	if err != nil {
		t.Fatal(err)
	}
	out := newScreen()
	config.Members, config.FreePorts, config.DataDir, config.Output = 1, true, t.TempDir(), out
	return config, out
}

func TestClusterFromStartToEnd(t *testing.T) {
	config, out := testConfig(t, "")
	cluster, err := Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	summary := cluster.Summary()
	if len(summary.Control) != 1 || len(summary.Proxies) != 2 || len(summary.Nodes) != 3 || summary.Nodes[1].ID != "n2" {
		t.Errorf("the summary is %+v", summary)
	}
	if err := syscall.Kill(summary.Nodes[1].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	out.await(t, fmt.Sprintf("dev | n2 (pid %d) died: signal: killed; it stays dead, restart it with: %s node --id n2",
		summary.Nodes[1].PID, config.Executable))
	if err := cluster.Close(t.Context()); err != nil {
		t.Error(err)
	}

	order := []string{"p1", "p2", "n1", "n3", "c1"}
	stopped := map[string]string{}
	for _, id := range order {
		text, err := os.ReadFile(filepath.Join(config.DataDir, "stopped."+id))
		if err != nil {
			t.Fatalf("%s was not asked to stop: %v", id, err)
		}
		stopped[id] = string(text)
	}
	if stopped["p2"] > stopped["n1"] || stopped["n3"] > stopped["c1"] {
		t.Errorf("stopped in another order than proxies, nodes, control: %v", stopped)
	}
	if !strings.Contains(out.String(), "c1 | started with 21 arguments") {
		t.Errorf("no line of c1 in:\n%s", out)
	}
	if strings.Count(out.String(), "died") != 1 {
		t.Errorf("ends that were asked for are reported:\n%s", out)
	}
}

func TestClusterThatCannotStart(t *testing.T) {
	config, _ := testConfig(t, "fail")
	_, err := Open(t.Context(), config)
	if err == nil || !strings.Contains(err.Error(), "cannot start the cluster: n1 (pid ") ||
		!strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "n1 cannot open its store") {
		t.Errorf("got %v, want n1's end and last lines", err)
	}
}

func TestClusterInterrupted(t *testing.T) {
	config, _ := testConfig(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, config); !errors.Is(err, errInterrupted) {
		t.Errorf("got %v, want errInterrupted", err)
	}
}

func TestStubbornProcessIsKilled(t *testing.T) {
	config, _ := testConfig(t, "stubborn")
	config.DataDir = ""
	cluster, err := Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := cluster.Close(ctx); err != nil {
		t.Error(err)
	}
	for _, p := range cluster.processes {
		if !p.hasEnded() {
			t.Errorf("%s still runs", p)
		}
	}
	if _, err := os.Stat(cluster.config.DataDir); !os.IsNotExist(err) {
		t.Errorf("the temporary folder is still there: %v", err)
	}
}

// TestFolderOfAnotherSize: a folder founded with three members is not started with one or five.
func TestFolderOfAnotherSize(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"c1", "c2", "c3"} {
		if err := os.MkdirAll(filepath.Join(folder, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name, "member.json"), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := func(members int, ok bool) {
		t.Helper()
		if err := checkMembers(Config{DataDir: folder, Members: members}); (err == nil) != ok {
			t.Errorf("%d members: %v", members, err)
		}
	}
	f(1, false)
	f(3, true)
	f(5, false)
	if err := checkMembers(Config{DataDir: t.TempDir(), Members: 1}); err != nil {
		t.Error(err)
	}
}
