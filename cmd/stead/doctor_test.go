package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stead-io/stead/api/transport"
)

// TestMetricsOver: what a node or a proxy exports is read; a service that exports nothing is no more than that.
func TestMetricsOver(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("stead_node_disk_full 1\n"))
	})
	f := func(handler http.Handler, wantText, wantErr string) {
		t.Helper()
		node := httptest.NewServer(handler)
		defer node.Close()
		text, err := metricsOver(transport.Security{})(t.Context(), transport.Identity{Role: transport.RoleNode, Name: "n1"}, node.Listener.Addr().String())
		if string(text) != wantText || (err == nil) != (wantErr == "") || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Errorf("got %q, %v", text, err)
		}
	}
	f(mux, "stead_node_disk_full 1\n", "")
	f(http.NotFoundHandler(), "", "node n1 answered 404")
}
