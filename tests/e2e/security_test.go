//go:build e2e

package e2e

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/client"
	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/cmd/stead/pki"
	"github.com/stead-io/stead/tests/cluster"
)

// soon has nodes that join get their slots at once.
var soon = []string{"--plan-delay", "100ms"}

// forgedLead is by how much forged terms are ahead: an election of the cluster's own is no break-in.
const forgedLead = 1000

// standing is what no refused request may move.
type standing struct {
	term    uint64
	version api.Version
	change  api.ChangeID
}

func standingOf(t *testing.T, c *cluster.Cluster) standing {
	t.Helper()
	is, err := c.Client.Cluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return standing{is.Term, is.Version, is.Change}
}

func (s standing) unmoved(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	now := standingOf(t, c)
	if now.term >= s.term+forgedLead || now.version != s.version || now.change != s.change {
		t.Errorf("it moved: %+v, before %+v", now, s)
	}
}

// dialTLS connects as whoever has the certificate, believing anybody, and reports what the other end
// makes of it: nil once it has taken the first octets.
func dialTLS(address string, certificates ...tls.Certificate) error {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	conn, err := tls.DialWithDialer(dialer, "tcp", address, &tls.Config{InsecureSkipVerify: true, Certificates: certificates})
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(conn, "GET /v1/cluster HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}

func pair(t *testing.T, files transport.Files) tls.Certificate {
	t.Helper()
	certificate, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// as is a client with somebody's certificate.
func as(t *testing.T, c *cluster.Cluster, role transport.Role, name string) *client.Client {
	t.Helper()
	made, err := client.New(client.Config{Members: c.APIs, Security: c.Security(role, name), FailFast: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(made.Close)
	return made
}

func refusedWith(t *testing.T, what string, err error, want api.Code) {
	t.Helper()
	if code := api.CodeOf(err); code != want {
		t.Errorf("%s: %v, want %s", what, err, want)
	}
}

// TestTLS: everything speaks TLS; whoever is not whom their certificate should say is refused, and
// nothing moves.
func TestTLS(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Members: 3, Proxies: 2, Nodes: 2, TLS: true, ControlArgs: soon})
	silent := silentConnections(t, ports(t, c))
	for i := range 50 {
		url := kvURL(c.ProxyAddrs[i%2], keyNumber(i))
		if got := must(t, "PUT", url, keyNumber(i)); got.status != http.StatusCreated {
			t.Fatalf("put: %d %s", got.status, got.body)
		}
		if got := must(t, "GET", kvURL(c.ProxyAddrs[(i+1)%2], keyNumber(i)), nil); !bytes.Equal(got.body, keyNumber(i)) {
			t.Fatalf("get: %d %s", got.status, got.body)
		}
	}
	files := c.Files(transport.RoleReader, "bob")
	var shown api.Cluster
	mustDecode(t, curl(t, "--cacert", files.CA, "--cert", files.Cert, "--key", files.Key, "https://"+c.APIs[1]+"/v1/cluster"), &shown)
	stead(t, c, "nodes", "weight", "n1", "2")
	if history := stead(t, c, "ring", "history"); !strings.Contains(history, "operator ann (") {
		t.Errorf("history does not name the operator:\n%s", history)
	}

	before := standingOf(t, c)
	t.Run("strangers", func(t *testing.T) { refuseStrangers(t, c) })
	t.Run("others' names", func(t *testing.T) { refuseOthersNames(t, c) })
	t.Run("made-up headers", func(t *testing.T) { refuseMadeUpHeaders(t, c) })
	t.Run("garbage", func(t *testing.T) { outliveGarbage(t, ports(t, c)) })
	before.unmoved(t, c)
	t.Run("a node under another's name", func(t *testing.T) { refuseImpostorNode(t, c) })
	for port, conn := range silent {
		_ = conn.SetReadDeadline(time.Now().Add(15 * time.Second))
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s kept a silent connection open", port)
		}
	}
}

// ports are all that speak TLS, by what they are.
func ports(t *testing.T, c *cluster.Cluster) map[string]string {
	t.Helper()
	is, err := c.Client.Cluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"api": c.APIs[0], "raft": is.Members[0].Raft, "admin": c.AdminAddrs[0], "node": c.NodeAddrs[0]}
}

// silentConnections open one connection a port that says nothing; each must be closed in time.
func silentConnections(t *testing.T, ports map[string]string) map[string]net.Conn {
	t.Helper()
	silent := make(map[string]net.Conn)
	for name, address := range ports {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		silent[name] = conn
	}
	return silent
}

// outliveGarbage: what is no handshake ends the connection, and no other.
func outliveGarbage(t *testing.T, ports map[string]string) {
	for name, address := range ports {
		for _, said := range [][]byte{randomKey(t, 512), []byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), {0x16, 3, 1, 0xff, 0xff}} {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatalf("%s is gone: %v", name, err)
			}
			_, _ = conn.Write(said)
			_ = conn.(*net.TCPConn).CloseWrite()
			_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
			answer, err := io.ReadAll(conn)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s kept garbage open", name)
			}
			if bytes.Contains(answer, []byte("200 OK")) {
				t.Errorf("%s answered garbage: %q", name, answer)
			}
			_ = conn.Close()
		}
	}
}

// refuseStrangers: no certificate, one of another CA, an expired one.
func refuseStrangers(t *testing.T, c *cluster.Cluster) {
	foreign, folder := t.TempDir(), t.TempDir()
	long := time.Now().Add(-time.Hour * 24 * 30)
	if err := pki.Init(foreign, "foreign", 60, long); err != nil {
		t.Fatal(err)
	}
	for _, role := range transport.Roles {
		other, err := pki.Issue(foreign, folder, pki.Request{Role: role, Name: "c1", Days: 1}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for name, address := range ports(t, c) {
			if err := dialTLS(address, pair(t, transport.Files(other))); !transport.Refused(err) {
				t.Errorf("a %s of another CA at %s: %v", role, name, err)
			}
		}
	}
	expired, err := pki.Issue(c.PKI(), t.TempDir(), pki.Request{Role: transport.RoleOperator, Name: "old", Days: 1}, long)
	if err != nil {
		t.Fatal(err)
	}
	for name, address := range ports(t, c) {
		if err := dialTLS(address); !transport.Refused(err) {
			t.Errorf("without a certificate at %s: %v", name, err)
		}
		if err := dialTLS(address, pair(t, transport.Files(expired))); !transport.Refused(err) {
			t.Errorf("an expired one at %s: %v", name, err)
		}
	}
	wrong := transport.Files{Cert: filepath.Join(folder, "operator-c1.pem"), Key: filepath.Join(folder, "operator-c1-key.pem"), CA: filepath.Join(folder, pki.CAName)}
	output, err := steadTry(t, c, "nodes", "drain", "n1", "--tls-cert", wrong.Cert, "--tls-key", wrong.Key, "--tls-ca", wrong.CA)
	if err == nil || !strings.Contains(output, "cannot trust the other end") {
		t.Errorf("an operator of another CA: %s", output)
	}
}

// refuseOthersNames: certificates of the cluster, used for what they are not for.
func refuseOthersNames(t *testing.T, c *cluster.Cluster) {
	ctx := t.Context()
	registration := api.Registration{ID: "n2", Address: "127.0.0.1:1", Lease: api.LeaseNone}
	n1, bob, p1 := as(t, c, transport.RoleNode, "n1"), as(t, c, transport.RoleReader, "bob"), as(t, c, transport.RoleProxy, "p1")
	_, err := n1.Register(ctx, registration)
	refusedWith(t, "n1 registers n2", err, api.CodeForbidden)
	_, err = n1.Beat(ctx, "n2", api.Beat{Leaving: true})
	refusedWith(t, "n1 beats for n2", err, api.CodeForbidden)
	_, err = n1.Remove(ctx, "n2", true)
	refusedWith(t, "n1 removes n2", err, api.CodeForbidden)
	_, err = n1.Undrain(ctx, "n1")
	refusedWith(t, "n1 undrains itself", err, api.CodeForbidden)
	_, err = p1.ProxyBeat(ctx, "p2", api.ProxyBeat{Address: "127.0.0.1:1"})
	refusedWith(t, "p1 beats for p2", err, api.CodeForbidden)
	_, err = p1.Register(ctx, registration)
	refusedWith(t, "p1 registers n2", err, api.CodeForbidden)
	_, err = bob.Drain(ctx, "n1")
	refusedWith(t, "a reader drains", err, api.CodeForbidden)
	if _, err = bob.Nodes(ctx); err != nil {
		t.Errorf("a reader reads: %v", err)
	}
	for _, role := range []transport.Role{transport.RoleReader, transport.RoleMember} {
		who := c.Security(role, "c1").Transport(transport.Identity{Role: transport.RoleNode, Name: "n1"})
		got := send(t, who, "PUT", "https://"+c.NodeAddrs[0]+"/kv/x", nil, api.HeaderKey, "x")
		if got.status != http.StatusForbidden {
			t.Errorf("a %s writes to a node: %d %s", role, got.status, got.body)
		}
	}
	files := c.Files(transport.RoleNode, "n1")
	node := cluster.Run(t, "impostor", cluster.Binary(t), "node", "--id", "n3", "--listen", "127.0.0.1:0", "--store", "memory", "--advertise", "127.0.0.1:1",
		"--control", c.APIs[0], "--tls-cert", files.Cert, "--tls-key", files.Key, "--tls-ca", files.CA)
	if code := node.Ended(); code != 2 || !strings.Contains(node.Output(), "the certificate is another's") {
		t.Errorf("n3 with n1's certificate ended with %d:\n%s", code, node.Output())
	}
}

// send makes a request over a transport of its own.
func send(t *testing.T, via *http.Transport, method, url string, body []byte, headers ...string) answer {
	t.Helper()
	defer via.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := (&http.Client{Transport: via, Timeout: 10 * time.Second}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, _ := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, content}
}

// refuseMadeUpHeaders: only members may say for whom they ask, and who they are among themselves.
func refuseMadeUpHeaders(t *testing.T, c *cluster.Cluster) {
	member := transport.Identity{Role: transport.RoleMember}
	for _, address := range c.APIs {
		via := c.Security(transport.RoleNode, "n1").Transport(member)
		got := send(t, via, "POST", "https://"+address+"/v1/nodes/n2/drain", nil,
			api.HeaderCaller, "operator ann", api.HeaderForwarded, "c2", api.HeaderActor, "operator ann", "Authorization", "Bearer made-up")
		if got.status != http.StatusForbidden {
			t.Errorf("a node that says it is an operator: %d %s", got.status, got.body)
		}
		peer, err := json.Marshal(api.Peers{Self: api.PeerInfo{ID: "c2-0123456789abcdef", Name: "c2", API: "https://127.0.0.1:1", Raft: "127.0.0.1:1", Boot: 1 << 40}})
		if err != nil {
			t.Fatal(err)
		}
		for _, who := range []transport.Identity{{Role: transport.RoleOperator, Name: "ann"}, {Role: transport.RoleMember, Name: "c1"}} {
			got := send(t, c.Security(who.Role, who.Name).Transport(member), "POST", "https://"+address+"/v1/peers", peer)
			if got.status != http.StatusForbidden {
				t.Errorf("%s says it is member c2: %d %s", who, got.status, got.body)
			}
		}
	}
}

// refuseImpostorNode: where another node answers than the ring names, the proxy sends nothing.
func refuseImpostorNode(t *testing.T, c *cluster.Cluster) {
	served := make(chan struct{}, 1)
	impostor := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served <- struct{}{} }))
	listener, err := c.Security(transport.RoleNode, "n9").Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	impostor.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	_ = impostor.Listener.Close()
	impostor.Listener = listener
	impostor.Start()
	defer impostor.Close()
	c.Static("n8", listener.Addr().String())
	stead(t, c, "ring", "rebalance")
	c.AwaitConverged()
	for i := range 1000 {
		location, err := c.Client.Locate(t.Context(), keyNumber(i))
		if err != nil {
			t.Fatal(err)
		}
		if location.Replicas[0].ID != "n8" {
			continue
		}
		got := must(t, "GET", kvURL(c.ProxyAddrs[0], keyNumber(i)), nil)
		if got.status != http.StatusServiceUnavailable || !strings.Contains(string(got.body), string(api.CodeOwnerDown)) {
			t.Errorf("n9 in n8's place: %d %s", got.status, got.body)
		}
		if len(served) > 0 {
			t.Error("the impostor was sent a request")
		}
		if !strings.Contains(c.Proxies[0].Output(), "node n9 answers where node n8 was expected") {
			t.Error("the proxy's log does not say why")
		}
		return
	}
	t.Fatal("n8 holds no key")
}
