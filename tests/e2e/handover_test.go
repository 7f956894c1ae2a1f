//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/tests/cluster"
)

// configuration is what a proxy's admin port says of its process and configuration.
type configuration struct {
	PID      int
	Refused  string
	Waiting  []string
	Settings []struct{ Name, Value, Source string }
}

func configurationAt(t *testing.T, admin string) (shown configuration) {
	t.Helper()
	got := must(t, "GET", "http://"+admin+"/v1/config", nil)
	if err := json.Unmarshal(got.body, &shown); err != nil || shown.PID == 0 {
		t.Fatalf("%s: %v", got.body, err)
	}
	return shown
}

// value is a setting's, and where it came from.
func (c configuration) value(name string) string {
	for _, setting := range c.Settings {
		if setting.Name == name {
			return setting.Value + " " + setting.Source
		}
	}
	return ""
}

// TestReloadUnderLoad: SIGHUP, with good files and bad ones, costs no request.
func TestReloadUnderLoad(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Members: 1, Nodes: 1, ControlArgs: soon})
	file := filepath.Join(t.TempDir(), "proxy.conf")
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("deadline = 5s\n")
	proxy := c.AddProxy("--config", file)
	c.AwaitProxy(0)
	load := startExacting(t, c.ProxyAddrs[0])
	reloaded := func(content, wantDeadline, wantRefused, wantWaiting string) {
		t.Helper()
		write(content)
		proxy.Signal(syscall.SIGHUP)
		c.Await("the new configuration", func(context.Context) bool {
			shown := configurationAt(t, c.AdminAddrs[0])
			return shown.value("deadline") == wantDeadline && strings.Contains(shown.Refused, wantRefused) && fmt.Sprint(shown.Waiting) == wantWaiting
		})
		load.more(100)
	}
	load.more(100)
	reloaded("deadline = 6s\nidle-timeout = 30s\n", "6s file", "", "[]")
	reloaded("deadline = 7s\nbody-maks = 1\n", "6s file", "proxy.conf:2", "[]")
	if said := proxy.Output(); !strings.Contains(said, "the configuration is refused; the one before stays in force") || !strings.Contains(said, "body-maks") {
		t.Errorf("the log does not say so: %s", said)
	}
	reloaded("deadline = 8s\nkey = query:other\nlog-level = debug\n", "8s file", "", "[key]")
	reloaded("", "10s default", "", "[]")
	for range 10 {
		proxy.Signal(syscall.SIGHUP)
		load.more(10)
	}
	load.end()
}

// succession is a proxy whose place other processes take, started by a name that is a link, as where versions lie beside
// each other.
type succession struct {
	c       *cluster.Cluster
	program string // the link
	place   int
	first   *cluster.Process
	pid     int // of the process that serves
}

// startSuccession starts a proxy in the cluster.
func startSuccession(t *testing.T, c *cluster.Cluster, more ...string) *succession {
	t.Helper()
	s := &succession{c: c, program: filepath.Join(t.TempDir(), "stead"), place: len(c.Proxies)}
	s.link(t, cluster.Binary(t))
	c.ProxyAddrs, c.AdminAddrs = append(c.ProxyAddrs, cluster.FreeAddress(t)), append(c.AdminAddrs, cluster.FreeAddress(t))
	s.first = cluster.Run(t, fmt.Sprint("p", s.place+1), s.program, append(c.ProxyArgs(s.place), more...)...)
	s.pid = s.first.PID()
	c.Proxies = append(c.Proxies, s.first)
	t.Cleanup(func() { _ = syscall.Kill(-s.first.PID(), syscall.SIGKILL) }) // its successors are of its group
	c.AwaitProxy(s.place)
	return s
}

// link has the name stand for another program.
func (s *succession) link(t *testing.T, to string) {
	t.Helper()
	if err := os.Symlink(to, s.program+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(s.program+".new", s.program); err != nil {
		t.Fatal(err)
	}
}

// script has the name stand for a script.
func (s *succession) script(t *testing.T, lines string) {
	t.Helper()
	file := s.program + ".sh"
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+lines+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.link(t, file)
}

func (s *succession) signal(signals ...syscall.Signal) {
	for _, signal := range signals {
		_ = syscall.Kill(s.pid, signal)
	}
}

// said is how often the log says something.
func (s *succession) said(text string) int { return strings.Count(s.first.Output(), text) }

// awaitSaid waits until the log says something so many times.
func (s *succession) awaitSaid(times int, text string) {
	s.c.Await(fmt.Sprintf("%q %d times", text, times), func(context.Context) bool { return s.said(text) >= times })
}

// serving is the process that answers at the admin port.
func (s *succession) serving(t *testing.T) int {
	return configurationAt(t, s.c.AdminAddrs[s.place]).PID
}

// awaitSuccessor waits until another process serves and the one before has ended.
func (s *succession) awaitSuccessor(t *testing.T) {
	before := s.pid
	s.c.Await("another process to serve, and the one before to end", func(context.Context) bool {
		s.pid = s.serving(t)
		return s.pid != before && syscall.Kill(before, 0) != nil
	})
}

// What the log says of hand-overs.
const (
	saidStarting = "starting a process to take over"
	saidNobody   = "no process takes over; this one goes on"
)

// TestBinaryHandOver: SIGUSR2 has another process take over, again and again, and no request fails, at the admin port neither;
// the fleet sees the same proxies, that never leave. A program that cannot serve takes nothing over, and what
// is asked meanwhile is done afterwards. One that is told to stop in the middle of it stops.
func TestBinaryHandOver(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Members: 1, Nodes: 1, ControlArgs: soon})
	file := filepath.Join(t.TempDir(), "proxy.conf")
	configure(t, file, "5s")
	all := []*succession{startSuccession(t, c, "--config", file), startSuccession(t, c, "--mux", "off")}
	loads := []*exacting{startExacting(t, c.ProxyAddrs[0]), startExacting(t, c.ProxyAddrs[1])}
	fleet := watchFleet(t, c)
	for _, signals := range [][]syscall.Signal{{syscall.SIGUSR2}, {syscall.SIGUSR2, syscall.SIGUSR2}, {syscall.SIGUSR2}} {
		for i, s := range all {
			loads[i].more(100)
			s.signal(signals...)
		}
		for i, s := range all {
			s.awaitSuccessor(t)
			loads[i].more(100)
		}
	}
	for _, s := range all {
		if now := s.serving(t); now != s.pid || s.said(saidStarting) != 3 {
			t.Errorf("process %d serves, %d should; %d were started", now, s.pid, s.said(saidStarting))
		}
	}

	p1 := all[0]
	p1.script(t, "sleep 0.3; exit 1")
	p1.signal(syscall.SIGUSR2)
	p1.awaitSaid(4, saidStarting)
	configure(t, file, "6s")
	p1.signal(syscall.SIGUSR2, syscall.SIGHUP)
	p1.awaitSaid(2, saidNobody)
	c.Await("the new configuration", func(context.Context) bool {
		shown := configurationAt(t, c.AdminAddrs[0])
		return shown.PID == p1.pid && shown.value("deadline") == "6s file"
	})
	loads[0].more(100)
	loads[0].end()
	fleet.end()

	loads[0] = startExacting(t, c.ProxyAddrs[0], c.ProxyAddrs[1])
	loads[0].more(100)
	p1.script(t, "sleep 0.3; exec "+cluster.Binary(t)+` "$@"`)
	p1.signal(syscall.SIGUSR2)
	p1.awaitSaid(6, saidStarting)
	p1.signal(syscall.SIGTERM)
	c.Await("its end", func(context.Context) bool { return syscall.Kill(p1.pid, 0) != nil && loads[0].refused.Load() > 0 })
	for _, load := range loads {
		load.more(100)
		load.end()
	}
}

// configure writes a proxy's configuration.
func configure(t *testing.T, file, deadline string) {
	t.Helper()
	if err := os.WriteFile(file, []byte("deadline = "+deadline+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// fleetWatch looks at the fleet and at the proxies' admin ports all the time, and fails the test when a proxy is not up
// or not to be asked.
type fleetWatch struct {
	stop context.CancelFunc
	all  sync.WaitGroup
}

func watchFleet(t *testing.T, c *cluster.Cluster) *fleetWatch {
	ctx, stop := context.WithCancel(t.Context())
	w := &fleetWatch{stop: stop}
	t.Cleanup(w.end)
	want := len(c.Proxies)
	w.all.Go(func() {
		for ctx.Err() == nil {
			list, err := c.Client.Proxies(ctx)
			up := 0
			for _, proxy := range list.Proxies {
				if proxy.Status == api.ProxyUp {
					up++
				}
			}
			if err == nil && (len(list.Proxies) != want || up != want) {
				t.Errorf("the fleet is %+v", list.Proxies)
				return
			}
			pause(20 * time.Millisecond)
		}
	})
	once := &http.Client{Timeout: cluster.Patience, Transport: &http.Transport{DisableKeepAlives: true}} // repeats nothing
	for _, admin := range c.AdminAddrs {
		w.all.Go(func() {
			for ctx.Err() == nil {
				response, err := once.Get("http://" + admin + "/readyz")
				if err != nil || response.StatusCode != http.StatusOK {
					t.Errorf("the admin port: %v, %v", response, err)
					return
				}
				_ = response.Body.Close()
				pause(5 * time.Millisecond)
			}
		})
	}
	return w
}

func (w *fleetWatch) end() {
	w.stop()
	w.all.Wait()
}
