package sidecar

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc"
	"github.com/stead-io/stead/tests/cluster"
)

var (
	_ nodesvc.Durable   = (*hooks)(nil)
	_ nodesvc.Rehearser = (*hooks)(nil)
)

// hooksTo makes hooks of a service that listens already.
func hooksTo(t *testing.T, address string) *hooks {
	t.Helper()
	healthy, closing := make(chan struct{}), make(chan struct{})
	close(healthy)
	folder := t.TempDir()
	applied, err := openApplied(filepath.Join(folder, appliedName))
	if err != nil {
		t.Fatal(err)
	}
	transport := newTransport()
	t.Cleanup(transport.CloseIdleConnections)
	return &hooks{
		base: "http://" + address + slotsPath, client: &http.Client{Transport: transport},
		pauseMax: MovePauseMaxDefault, healthy: healthy, closing: closing, folder: folder, applied: applied,
	}
}

// pythonApp runs examples/hooks/app.py and waits until it is healthy.
func pythonApp(t *testing.T) (address string) {
	t.Helper()
	address = cluster.FreeAddress(t)
	_, port, _ := strings.Cut(address, ":")
	child := exec.Command("python3", "../../examples/hooks/app.py", port, t.TempDir())
	if err := child.Start(); err != nil {
		t.Skipf("no Python: %v", err)
	}
	t.Cleanup(func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if got, err := try("GET", address, "/healthz", nil); err == nil && got.status == http.StatusOK {
			return address
		}
		if time.Now().After(deadline) {
			t.Fatal("the Python service is not healthy")
		}
	}
}

func exported(t *testing.T, h *hooks, slot api.Slot) []byte {
	t.Helper()
	var state bytes.Buffer
	if err := h.Snapshot(slot, &state); err != nil {
		t.Fatal(err)
	}
	return state.Bytes()
}

// A slot goes from one Python service to another with all its tenants, and is gone from the first.
func TestHooksMoveASlot(t *testing.T) {
	from, to := pythonApp(t), pythonApp(t)
	source, target := hooksTo(t, from), hooksTo(t, to)
	slot := "Stead-Slot: 7"
	notes := func(address, tenant, slot string) string {
		t.Helper()
		got, err := try("GET", address, "/notes/"+tenant, nil, slot)
		if err != nil || got.status != http.StatusOK {
			t.Fatalf("%+v, %v", got, err)
		}
		return got.body
	}
	for _, tenant := range []string{"acme", "emca"} {
		for _, text := range []string{"one", "two"} {
			if got, err := try("POST", from, "/notes/"+tenant, strings.NewReader(tenant+text), slot); err != nil || got.status != http.StatusOK {
				t.Fatalf("%+v, %v", got, err)
			}
		}
	}
	state := exported(t, source, 7)
	if len(state) == 0 || !bytes.Equal(exported(t, source, 7), state) {
		t.Fatalf("exports of %d octets differ", len(state))
	}
	if err := errors.Join(source.Rehearse(7), target.RestoreAt(7, 3, bytes.NewReader(state)), source.Drop(7)); err != nil {
		t.Fatal(err)
	}
	if got := notes(to, "acme", slot) + notes(to, "emca", slot); got != "acmeone\nacmetwo\nemcaone\nemcatwo\n" {
		t.Errorf("it arrived as %q", got)
	}
	if len(exported(t, source, 7)) != 0 {
		t.Error("the slot is still where it was")
	}
	if seq, err := target.Applied(7); seq != 3 || err != nil {
		t.Errorf("as of %d, %v", seq, err)
	}
	again, err := openApplied(filepath.Join(target.folder, appliedName))
	if err != nil || again.of(7) != 3 || again.of(8) != 0 {
		t.Errorf("kept: %+v, %v", again, err)
	}
	if err := errors.Join(target.Restore(7, strings.NewReader("")), target.Drop(9)); err != nil || len(exported(t, target, 7)) != 0 {
		t.Errorf("replaced by nothing: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(target.folder, importPattern)); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What a service does wrong is told, and a part of an export is never taken for the whole.
func TestHooksRefusals(t *testing.T) {
	f := func(want string, do func(*hooks) error, serve http.HandlerFunc) {
		t.Helper()
		server := httptest.NewServer(serve)
		defer server.Close()
		h := hooksTo(t, strings.TrimPrefix(server.URL, "http://"))
		h.pauseMax = 200 * time.Millisecond
		if err := do(h); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	export := func(h *hooks) error { return h.Snapshot(7, io.Discard) }
	broken := func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "disk gone", http.StatusInternalServerError)
	}
	f("GET /.stead/slots/7 was answered 500 Internal Server Error: disk gone", export, broken)
	f("cannot import slot 7: PUT", func(h *hooks) error { return h.Restore(7, strings.NewReader("x")) }, broken)
	f("cannot delete slot 7: DELETE", func(h *hooks) error { return h.Drop(7) }, broken)
	f("neither Content-Length nor chunks", export, hijacked("HTTP/1.0 200 OK\r\n\r\npart"))
	f("unexpected EOF", export, hijacked("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npart"))
	f("unexpected EOF", export, hijacked("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n"))
	f("--move-pause-max 200ms, in which 4 bytes came", func(h *hooks) error { return h.Rehearse(7) },
		func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "part")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		})
	if _, err := hooksTo(t, "127.0.0.1:1").Apply(7, nil); !errors.Is(err, nodesvc.ErrBroken) {
		t.Errorf("a record: %v", err)
	}
}

// hijacked answers with octets as they are, and hangs up.
func hijacked(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		connection, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(connection, answer)
		_ = connection.Close()
	}
}

// An import carries its length, and slots their numbers.
func TestHooksRequests(t *testing.T) {
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, r.Method+" "+r.URL.Path+" "+r.Header.Get("Stead-Slot")+" "+strconv.FormatInt(r.ContentLength, 10)+" "+string(body))
	}))
	defer server.Close()
	h := hooksTo(t, strings.TrimPrefix(server.URL, "http://"))
	if err := errors.Join(h.Restore(12, strings.NewReader("state")), h.Drop(4095), h.Snapshot(0, io.Discard)); err != nil {
		t.Fatal(err)
	}
	want := "PUT /.stead/slots/12 12 5 state|DELETE /.stead/slots/4095 4095 0 |GET /.stead/slots/0 0 0 "
	if strings.Join(got, "|") != want {
		t.Errorf("%q", got)
	}
}
