// Package observability holds what people watch a cluster with to what its processes really export:
// docs/metrics.md is made from it, the dashboard and the alert rules name nothing else.
package observability

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/controlplane"
	"github.com/stead-io/stead/dataplane"
	"github.com/stead-io/stead/nodesvc/kv"
	"github.com/stead-io/stead/nodesvc/sidecar"
	"github.com/stead-io/stead/tests/authority"
)

const patience = 20 * time.Second

// process is one of a cluster, with what its /metrics said after it had something to count.
type process struct {
	name, where string
	metrics     []metric
}

// metric is one family of an exposition.
type metric struct {
	name, kind, help string
	labels           []string
}

// closer is what every composition root opens.
type closer interface{ Close(context.Context) error }

// own keeps a process until the test ends.
func own[P closer](t *testing.T, running P, err error) P {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := running.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return running
}

// asker asks as a proxy, whom members, proxies and nodes all answer.
func asker(t *testing.T, ca authority.Authority) tls.Certificate {
	t.Helper()
	files := ca.Files(transport.RoleProxy, "asks")
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// startCluster runs one process of each kind, has each answer something, and asks for its metrics.
func startCluster(t *testing.T) []process {
	t.Helper()
	ca := authority.New(t)
	as := asker(t, ca)
	listens := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(listens.Close)
	logger := slog.New(slog.DiscardHandler)
	control := controlplane.NewConfig()
	control.Listen, control.RaftListen, control.DataDir = "127.0.0.1:0", "127.0.0.1:0", t.TempDir()
	control.PlanDelay, control.Logger = time.Millisecond, logger
	control.DNS.Listen, control.Security = "127.0.0.1:0", ca.Security(transport.RoleMember, control.Name)
	control.Webhooks, control.WebhookKey = []string{listens.URL}, []byte(strings.Repeat("k", 32))
	member, err := controlplane.Open(control)
	own(t, member, err)
	await(t, as, member.APIAddr(), "/readyz")
	lookUp(t, member.DNSAddr(), control.DNS.Zone)

	node := kv.NewConfig()
	node.Listen, node.Store, node.Logger = "127.0.0.1:0", kv.StoreMemory, logger
	node.Node.ID, node.Node.Control, node.Node.OnDown = "n1", []string{member.APIAddr()}, api.OnDownReset
	node.Node.Security = ca.Security(transport.RoleNode, "n1")
	store, err := kv.Open(node)
	own(t, store, err)
	await(t, as, store.Addr(), "/readyz")

	upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(upstream.Close)
	beside := sidecar.NewConfig()
	beside.Listen, beside.AdminListen, beside.Logger = "127.0.0.1:0", "127.0.0.1:0", logger
	beside.Upstream = strings.TrimPrefix(upstream.URL, "http://")
	beside.Node.ID, beside.Node.Control, beside.Node.OnDown = "n2", []string{member.APIAddr()}, api.OnDownReset
	beside.Node.Security = ca.Security(transport.RoleNode, "n2")
	helper, err := sidecar.Open(beside)
	own(t, helper, err)
	await(t, as, helper.AdminAddr(), "/readyz")

	route := dataplane.NewConfig()
	route.Listen, route.AdminListen, route.Control, route.Logger = "127.0.0.1:0", "127.0.0.1:0", []string{member.APIAddr()}, logger
	route.ID, route.Security = "p1", ca.Security(transport.RoleProxy, "p1")
	shown := ca.Files(transport.RoleProxy, "p1")
	if route.SecurityClients.Certificate, err = transport.LoadCertificate(shown.Cert, shown.Key, logger); err != nil {
		t.Fatal(err)
	}
	proxy, err := dataplane.Open(route)
	own(t, proxy, err)
	await(t, as, proxy.AdminAddr(), "/readyz")
	await(t, as, member.APIAddr(), "/v1/nodes")
	get(t, as, store.Addr(), "/kv/some-key")

	return []process{
		{"Control-plane member", "`/metrics` of the control API, port 7400", scrape(t, as, member.APIAddr())},
		{"Proxy", "`/metrics` of the admin port, 8081", scrape(t, as, proxy.AdminAddr())},
		{"Node of the KV", "`/metrics` of the node's port, 7500", scrape(t, as, store.Addr())},
		{"Sidecar", "`/metrics` of the port that `--admin-listen` names; there is none without it", scrape(t, as, helper.AdminAddr())},
	}
}

// lookUp asks a member's DNS something, whatever it answers.
func lookUp(t *testing.T, server, zone string) {
	t.Helper()
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server)
	}}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, _ = resolver.LookupHost(ctx, zone) // the zone may be empty still
}

// await asks until the answer is 200.
func await(t *testing.T, as tls.Certificate, address, path string) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if status, _ := get(t, as, address, path); status == http.StatusOK {
			return
		}
	}
	t.Fatalf("waited in vain for %s of %s", path, address)
}

func get(t *testing.T, as tls.Certificate, address, path string) (status int, body string) {
	t.Helper()
	config := &tls.Config{Certificates: []tls.Certificate{as}, InsecureSkipVerify: true} // whoever answers
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: config}}
	response, err := client.Get("https://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(content)
}

var labelName = regexp.MustCompile(`([a-z_]+)="`)

// scrape reads the families of an exposition, in its order, which is by name.
func scrape(t *testing.T, as tls.Certificate, address string) []metric {
	t.Helper()
	status, body := get(t, as, address, "/metrics")
	if status != http.StatusOK {
		t.Fatalf("%s: /metrics answered %d", address, status)
	}
	var found []metric
	for lines := bufio.NewScanner(strings.NewReader(body)); lines.Scan(); {
		fields := strings.SplitN(lines.Text(), " ", 4)
		switch {
		case strings.HasPrefix(lines.Text(), "# HELP "):
			found = append(found, metric{name: fields[2], help: fields[3]})
		case strings.HasPrefix(lines.Text(), "# TYPE "):
			found[len(found)-1].kind = fields[3]
		default:
			last := &found[len(found)-1]
			for _, label := range labelName.FindAllStringSubmatch(lines.Text(), -1) {
				if label[1] != "le" && !slices.Contains(last.labels, label[1]) {
					last.labels = append(last.labels, label[1])
				}
			}
		}
	}
	return found
}
