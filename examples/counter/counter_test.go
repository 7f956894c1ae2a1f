package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc"
	"github.com/stead-io/stead/tests/solo"
)

var _ nodesvc.Checker = (*rooms)(nil)

// openNode runs the service as the only node of a cluster; without a folder in memory.
func openNode(t *testing.T, folder string) (url string, stop func()) {
	t.Helper()
	control, err := solo.New("path:/rooms/{room}")
	if err != nil {
		t.Fatal(err)
	}
	rooms := newRooms()
	config := nodesvc.NewConfig()
	config.ID, config.ControlPlane, config.DataDir = solo.Node, control, folder
	config.Advertise, config.Service = "127.0.0.1:1", rooms
	node, err := nodesvc.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(node.Guard(routes(node, rooms)))
	stop = sync.OnceFunc(func() {
		server.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := node.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return server.URL, stop
}

// ask sends a request as a proxy would, until the node serves.
func ask(t *testing.T, method, url, room, path, body string) (int, string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		request, err := http.NewRequest(method, url+"/rooms/"+room+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set(api.HeaderKey, room)
		got, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(got.Body)
		if err = errors.Join(err, got.Body.Close()); err != nil {
			t.Fatal(err)
		}
		early := got.StatusCode == http.StatusServiceUnavailable || got.StatusCode == http.StatusMisdirectedRequest
		if !early || time.Now().After(deadline) {
			return got.StatusCode, strings.TrimSpace(string(text))
		}
	}
}

func TestCounter(t *testing.T) {
	url, _ := openNode(t, "")
	f := func(method, room, path, body string, wantStatus int, want string) {
		t.Helper()
		if status, got := ask(t, method, url, room, path, body); status != wantStatus || !strings.Contains(got, want) {
			t.Errorf("%s %s%s: %d %s, want %d %s", method, room, path, status, got, wantStatus, want)
		}
	}
	f("GET", "blue", "", "", 200, "0")
	f("POST", "blue", "/add", "5", 200, "5")
	f("POST", "blue", "/add", "-2", 200, "3")
	f("POST", "red", "/add", "7", 200, "7")
	f("GET", "blue", "", "", 200, "3")
	f("POST", "blue", "/add", "many", 400, "whole number")
	f("GET", "blue", "/sub", "", 404, "")

	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				ask(t, "POST", url, "green", "/add", "1")
			}
		})
	}
	all.Wait()
	f("GET", "green", "", "", 200, "160")
}

// On disk the node keeps the sums: the service knows nothing of it.
func TestSumsOutliveTheProcess(t *testing.T) {
	folder := t.TempDir()
	for want := 1; want <= 3; want++ {
		url, stop := openNode(t, folder)
		if status, got := ask(t, "POST", url, "blue", "/add", "1"); status != 200 || got != fmt.Sprint(want) {
			t.Errorf("%d %s, want %d", status, got, want)
		}
		stop()
	}
}

// What is no state is refused while the slot still has the one before.
func TestGarbageReplacesNothing(t *testing.T) {
	url, _ := openNode(t, "")
	if status, got := ask(t, "POST", url, "blue", "/add", "5"); status != 200 {
		t.Fatalf("%d %s", status, got)
	}
	for slot := range 1 << api.SlotBitsMin {
		request, err := http.NewRequest("PUT", fmt.Sprintf("%s%sslots/%d/state?over=true", url, nodesvc.InternalPrefix, slot), strings.NewReader(`{"blue":`))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set(api.HeaderActor, "ann")
		got, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if err := got.Body.Close(); err != nil || got.StatusCode != http.StatusBadRequest {
			t.Fatalf("slot %d: %d, %v", slot, got.StatusCode, err)
		}
	}
	if status, got := ask(t, "GET", url, "blue", "", ""); status != 200 || got != "5" {
		t.Errorf("%d %s, want 5", status, got)
	}
}

func TestSnapshots(t *testing.T) {
	from, to := newRooms(), newRooms()
	for _, record := range []string{`{"room":"b","number":2}`, `{"room":"a","number":1}`} {
		if _, err := from.Apply(7, []byte(record)); err != nil {
			t.Fatal(err)
		}
	}
	var state, again bytes.Buffer
	if err := errors.Join(from.Snapshot(7, &state), to.Restore(7, bytes.NewReader(state.Bytes())), to.Snapshot(7, &again)); err != nil {
		t.Fatal(err)
	}
	if state.String() != `{"a":1,"b":2}` || again.String() != state.String() {
		t.Errorf("%s, then %s", state.String(), again.String())
	}
	if err := to.Restore(7, strings.NewReader(`{"a":`)); err == nil || to.sum(7, "a") != 0 {
		t.Errorf("half a state: %v", err)
	}
	for _, garbage := range []string{"", "{", `{"a":"b"}`, `{"a":1} {"a":2}`, "sums"} {
		if err := to.Check(7, strings.NewReader(garbage)); err == nil {
			t.Errorf("%q passes for a state", garbage)
		}
	}
	if err := to.Check(7, bytes.NewReader(state.Bytes())); err != nil {
		t.Error(err)
	}
	if err := from.Drop(7); err != nil || from.sum(7, "b") != 0 {
		t.Errorf("dropped: %v", err)
	}
}
