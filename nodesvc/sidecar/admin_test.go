package sidecar

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// TestAdminPort: health and metrics of the sidecar itself are there without being in the way of the
// service's own paths.
func TestAdminPort(t *testing.T) {
	var status atomic.Int32
	status.Store(500)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) }))
	defer upstream.Close()
	control := newFakeControl()
	config := testConfig(control, strings.TrimPrefix(upstream.URL, "http://"))
	config.AdminListen = "127.0.0.1:0"
	sidecar := openSidecar(t, config)
	defer closeSidecar(t, sidecar)

	f := func(path string, status int, part string) {
		t.Helper()
		if got := get(t, sidecar.AdminAddr(), path); got.status != status || !strings.Contains(got.body, part) {
			t.Errorf("%s: %+v", path, got)
		}
	}
	f("/livez", 200, "alive")
	f("/readyz", 503, "service_unhealthy")
	f("/metrics", 200, "stead_node_beats_total 0")
	f("/anything", 404, "not_found")
	status.Store(200)
	control.await(t, "beat")
	f("/readyz", 200, "ready")
	f("/metrics", 200, "stead_build_info{")
}

func TestNoAdminPortUnlessAsked(t *testing.T) {
	sidecar := openSidecar(t, testConfig(newFakeControl(), "127.0.0.1:1"))
	defer closeSidecar(t, sidecar)
	if sidecar.AdminAddr() != "" {
		t.Errorf("it listens on %s", sidecar.AdminAddr())
	}
}
