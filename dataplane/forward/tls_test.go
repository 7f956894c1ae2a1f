package forward

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/tests/authority"
)

// TestOverTLS: connections are kept, one that the node closed while idle is noticed before a request
// that may run once only is sent on it, and no node is sent what is another's.
func TestOverTLS(t *testing.T) {
	issue := authority.New(t).Security
	listener, err := issue(transport.RoleNode, "n1").Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}))
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	defer server.Close()

	proxy := issue(transport.RoleProxy, "p1")
	nodes := newTransport(t, func(config *Config) {
		config.Dial = func(ctx context.Context, to Target) (net.Conn, error) {
			return proxy.Dial(ctx, to.Address, transport.Identity{Role: transport.RoleNode, Name: string(to.Node)})
		}
	})
	to := Target{Node: "n1", Address: listener.Addr().String()}
	f := func(request *Request, connects, reuses, discards uint64) {
		t.Helper()
		answer, err := nodes.Send(to, request)
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = answer.Next()
		}
		answer.Close()
		stats := &nodes.Stats
		if err != io.EOF || stats.Connects.Load() != connects || stats.Reuses.Load() != reuses || stats.Discards.Load() != discards {
			t.Errorf("%v; %d connects, %d reuses, %d discards", err, stats.Connects.Load(), stats.Reuses.Load(), stats.Discards.Load())
		}
	}
	f(get(), 1, 0, 0)
	f(post(strings.NewReader("hello"), 5), 1, 1, 0)
	server.CloseClientConnections()
	f(post(strings.NewReader("hello"), 5), 2, 1, 1)
	f(get(), 2, 2, 1)
	if _, err := nodes.Send(Target{Node: api.NodeID("n2"), Address: to.Address}, get()); err == nil {
		t.Error("n1 was taken for n2, as there was a connection to its address")
	}
}
