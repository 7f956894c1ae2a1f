package client

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stead-io/stead/api"
)

// TestRestoreBrokenOff: who took the connection may have taken the snapshot.
func TestRestoreBrokenOff(t *testing.T) {
	var asked counted
	drop := asked.by(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	down := serve(t, drop)
	down.Close()
	client := dial(t, down, serve(t, drop), serve(t, drop))
	_, err := client.Restore(t.Context(), bytes.NewReader([]byte("x")), 1, false)
	asked.mu.Lock()
	defer asked.mu.Unlock()
	if err == nil || asked.count != 1 {
		t.Errorf("got %v after %d tries", err, asked.count)
	}
}

func TestSnapshotComesFromWhoLeads(t *testing.T) {
	content := bytes.Repeat([]byte("state"), 1<<20)
	client := open(t, inMemory{"a": nil, "b": refuses(api.CodeNoLeader), "c": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", api.TypeSnapshot)
		_, _ = w.Write(content)
	}})
	body, err := client.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(body)
	if _ = body.Close(); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestSnapshotWaitsForALeader, and not for members that nobody runs.
func TestSnapshotWaitsForALeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		none := refuses(api.CodeNoLeader)
		client := open(t, inMemory{"a": nil, "b": inTurn(none, none, none, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("state"))
		})})
		body, err := client.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_ = body.Close()
		began := time.Now()
		if _, err := open(t, inMemory{"a": none}).Snapshot(t.Context()); api.CodeOf(err) != api.CodeNoLeader || time.Since(began) != callPatience {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		began = time.Now()
		hasty := open(t, inMemory{"a": nil})
		hasty.failFast = true
		if _, err := hasty.Snapshot(t.Context()); !errors.Is(err, ErrUnreachable) || time.Since(began) != 0 {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
	})
}

// TestRestoreIsSentOnceItIsTaken: a refusal is an answer, and so is a member that may have begun.
func TestRestoreIsSentOnceItIsTaken(t *testing.T) {
	snapshot := []byte("stead-snapshot/1 …")
	var asked counted
	takes := func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPut || r.URL.RequestURI() != "/v1/snapshot?force=other-cluster" || !bytes.Equal(sent, snapshot) {
			t.Errorf("%s %s with %q", r.Method, r.URL.RequestURI(), sent)
		}
		says(api.Changed{Change: 7})(w, r)
	}
	client := open(t, inMemory{"a": nil, "b": refuses(api.CodeNoLeader), "c": asked.by(takes)})
	changed, err := client.Restore(t.Context(), bytes.NewReader(snapshot), int64(len(snapshot)), true)
	if err != nil || changed.Change != 7 || asked.count != 1 {
		t.Errorf("%+v, %v, asked %d times", changed, err, asked.count)
	}
	for _, code := range []api.Code{api.CodeSnapshotDamaged, api.CodeAmbiguous} {
		var refused counted
		handler := refused.by(refuses(code))
		client := open(t, inMemory{"a": handler, "b": handler})
		if _, err := client.Restore(t.Context(), bytes.NewReader(snapshot), int64(len(snapshot)), false); api.CodeOf(err) != code || refused.count != 1 {
			t.Errorf("got %v after %d tries, want %s after one", err, refused.count, code)
		}
	}
}
