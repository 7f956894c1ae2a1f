//go:build bench && linux

package bench

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/tests/cluster"
)

var besideBuilds = flag.String("proxy-beside", "", "other builds of stead, to stand beside this one under their files' names")

// contender is a proxy that takes part, on one core's worth of the machine.
type contender struct {
	name string
	// start runs it in front of the back ends and returns where it listens. The error of one that is not
	// installed is an errMissing.
	start func(t testing.TB, at backends) (*cluster.Process, string, error)
}

// Contenders that the last line names, and the one they are measured by.
const (
	contenderMux     = "mux"
	contenderHTTP    = "http"
	contenderHAProxy = "haproxy"
)

// contenders lists who takes part, in the order of turns.
func contenders() []contender {
	all := []contender{
		{contenderMux, func(t testing.TB, at backends) (*cluster.Process, string, error) {
			return startStead(t, cluster.Binary(t), at.mux)
		}},
		{contenderHTTP, func(t testing.TB, at backends) (*cluster.Process, string, error) {
			return startStead(t, cluster.Binary(t), at.plain, "--mux", "off")
		}},
		{contenderHAProxy, startHAProxy},
		{"nginx", startNginx},
		{"caddy", startCaddy},
	}
	for _, build := range strings.FieldsFunc(*besideBuilds, func(r rune) bool { return r == ',' }) {
		all = append(all, contender{filepath.Base(build), func(t testing.TB, at backends) (*cluster.Process, string, error) {
			return startStead(t, build, at.plain)
		}})
	}
	return all
}

// errMissing is a peer that is not installed, with the command that does it.
type errMissing struct{ name, install string }

func (e errMissing) Error() string { return fmt.Sprintf("%s is not installed: %s", e.name, e.install) }

// upstreamIdle is how many idle connections each proxy may keep to a back end: one for each client.
const upstreamIdle = 1024

// startStead runs a proxy of a cluster of its own, whose nodes are the back ends.
func startStead(t testing.TB, build string, nodes []string, more ...string) (*cluster.Process, string, error) {
	c := cluster.Start(t, cluster.Options{Members: 1, ControlArgs: []string{"--plan-delay", "100ms", "--keys", "header:" + benchKeyHeader}})
	for i, address := range nodes {
		c.Static(fmt.Sprintf("b%d", i+1), address)
	}
	c.Await("the back ends to hold all slots", func(ctx context.Context) bool {
		state, err := c.Client.Cluster(ctx)
		if err != nil || state.Unassigned > 0 {
			return false
		}
		change, err := c.Client.Change(ctx, state.Change)
		return err == nil && change.Status == api.ChangeDone
	})
	address := cluster.FreeAddress(t)
	command := append([]string{"GOMAXPROCS=1", build, "proxy", "--listen", address, "--admin-listen", cluster.FreeAddress(t), "--control", c.APIs[0]}, more...)
	return cluster.Run(t, "stead", "env", command...), address, nil
}

const haproxyConfig = `
global
  nbthread 1
  maxconn 9900
defaults
  mode http
  timeout connect 5s
  timeout client 75s
  timeout server 75s
  timeout http-keep-alive 75s
  http-reuse always
frontend clients
  bind %s
  default_backend nodes
backend nodes
  balance hdr(` + benchKeyHeader + `)
  hash-type consistent
%s`

func startHAProxy(t testing.TB, at backends) (*cluster.Process, string, error) {
	path, err := findTool("haproxy", "apt-get install haproxy")
	if err != nil {
		return nil, "", err
	}
	var servers strings.Builder
	for i, backend := range at.plain {
		fmt.Fprintf(&servers, "  server b%d %s pool-max-conn %d\n", i+1, backend, upstreamIdle)
	}
	address := cluster.FreeAddress(t)
	config := writeConfig(t, fmt.Sprintf(haproxyConfig, address, servers.String()))
	return cluster.Run(t, contenderHAProxy, path, "-db", "-q", "-f", config), address, nil
}

const nginxConfig = `
daemon off;
master_process off;
worker_processes 1;
worker_rlimit_nofile 20000;
error_log stderr crit;
pid %[1]s/pid;
events { worker_connections 8192; }
http {
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi;
  scgi_temp_path %[1]s/scgi;
  upstream nodes {
    hash $http_` + benchKeyVariable + ` consistent;
%[3]s    keepalive %[4]d;
    keepalive_requests 1000000000;
  }
  server {
    listen %[2]s;
    location / {
      proxy_pass http://nodes;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
    }
  }
}
`

func startNginx(t testing.TB, at backends) (*cluster.Process, string, error) {
	path, err := findTool("nginx", "apt-get install nginx")
	if err != nil {
		return nil, "", err
	}
	var servers strings.Builder
	for _, backend := range at.plain {
		fmt.Fprintf(&servers, "    server %s;\n", backend)
	}
	folder, address := t.TempDir(), cluster.FreeAddress(t)
	config := writeConfig(t, fmt.Sprintf(nginxConfig, folder, address, servers.String(), upstreamIdle))
	return cluster.Run(t, "nginx", path, "-p", folder, "-c", config), address, nil
}

const caddyConfig = `{
	admin off
	auto_https off
	log {
		level ERROR
	}
}
http://:%s {
	bind %s
	reverse_proxy %s {
		lb_policy header ` + benchKeyHeader + `
		transport http {
			keepalive_idle_conns_per_host %d
		}
	}
}
`

func startCaddy(t testing.TB, at backends) (*cluster.Process, string, error) {
	path, err := findTool("caddy", "go install github.com/caddyserver/caddy/v2/cmd/caddy@latest")
	if err != nil {
		return nil, "", err
	}
	address := cluster.FreeAddress(t)
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, "", err
	}
	config := writeConfig(t, fmt.Sprintf(caddyConfig, port, host, strings.Join(at.plain, " "), upstreamIdle))
	return cluster.Run(t, "caddy", "env", "GOMAXPROCS=1", path, "run", "--adapter", "caddyfile", "--config", config), address, nil
}

// findTool looks where a shell of root would, and where go install puts what it builds.
func findTool(name, install string) (string, error) {
	folders := append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/local/sbin")
	if binaries, err := exec.Command("go", "env", "GOBIN", "GOPATH").Output(); err == nil {
		gobin, gopath, _ := strings.Cut(strings.TrimSuffix(string(binaries), "\n"), "\n")
		folders = append(folders, cmp.Or(gobin, filepath.Join(gopath, "bin")))
	}
	for _, folder := range folders {
		if path, err := exec.LookPath(filepath.Join(folder, name)); err == nil {
			return path, nil
		}
	}
	return "", errMissing{name, install}
}

func writeConfig(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// running is a contender that takes part.
type running struct {
	name    string
	process *cluster.Process
	address string
}

// startAll runs all contenders that are installed, until the end of the test, and names the others.
func startAll(t testing.TB, at backends) (all []running) {
	t.Helper()
	for _, contender := range contenders() {
		process, address, err := contender.start(t, at)
		if missing := (errMissing{}); errors.As(err, &missing) {
			fmt.Fprintf(os.Stderr, "skipped: %v\n", missing)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		awaitAnswers(t, contender.name, address)
		all = append(all, running{contender.name, process, address})
	}
	return all
}

// awaitAnswers waits until a proxy passes requests on: what comes back is a back end's.
func awaitAnswers(t testing.TB, name, address string) {
	t.Helper()
	answers := func() bool {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return false
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		_, _ = io.WriteString(conn, "GET /64 HTTP/1.1\r\nHost: bench\r\n"+benchKeyHeader+": k\r\n\r\n")
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		return err == nil && answer.StatusCode == http.StatusOK && answer.ContentLength == 64
	}
	for deadline := time.Now().Add(cluster.Patience); !answers(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer", name)
		}
	}
}
