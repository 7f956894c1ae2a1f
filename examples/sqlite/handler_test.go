package main

import (
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

// openNode runs the service as the only node of a cluster, and returns the address it listens on.
func openNode(t *testing.T) string {
	t.Helper()
	control, err := solo.New("path:/db/{key}")
	if err != nil {
		t.Fatal(err)
	}
	store := mustOpen(t, t.TempDir())
	config := nodesvc.NewConfig()
	config.ID, config.ControlPlane, config.DataDir = solo.Node, control, t.TempDir()
	config.Advertise, config.Service = "127.0.0.1:1", store
	node, err := nodesvc.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(node.Guard(&service{node, store}))
	t.Cleanup(func() {
		server.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := node.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return server.URL
}

// post sends statements to a database, until the node serves.
func post(t *testing.T, url, key, body string) (status int, answer string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		request, err := http.NewRequest(http.MethodPost, url+"/db/"+key, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set(api.HeaderKey, key) // what a proxy would have put there
		got, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(got.Body)
		if err = errors.Join(err, got.Body.Close()); err != nil {
			t.Fatal(err)
		}
		early := got.StatusCode == http.StatusServiceUnavailable || got.StatusCode == http.StatusMisdirectedRequest
		if !early || time.Now().After(deadline) {
			return got.StatusCode, strings.TrimSpace(string(content))
		}
	}
}

func TestDatabases(t *testing.T) {
	url := openNode(t)
	f := func(key, body string, wantStatus int, want string) {
		t.Helper()
		if status, answer := post(t, url, key, body); status != wantStatus || !strings.Contains(answer, want) {
			t.Errorf("%s of %s: %d %s, want %d %s", body, key, status, answer, wantStatus, want)
		}
	}
	f("acme", `{"statements":[{"sql":"CREATE TABLE t (a)"},{"sql":"INSERT INTO t VALUES (?)","args":[7]}]}`, 200, `"rows_affected":1`)
	f("acme", `{"statements":[{"sql":"SELECT a FROM t"}]}`, 200, `{"results":[{"columns":["a"],"rows":[[7]],"rows_affected":0}]}`)
	f("acme", `{"statements":[{"sql":"WITH x AS (SELECT 8) INSERT INTO t SELECT * FROM x"}]}`, 200, `"rows_affected":1`)
	f("emca", `{"statements":[{"sql":"SELECT a FROM t"}]}`, 400, "no such table")
	f("acme", `{"statements":[{"sql":"INSERT INTO t VALUES (9)"},{"sql":"SELEC"}]}`, 400, `"field":"statements[1]"`)
	f("acme", `{"statements":[{"sql":"SELECT count(*) AS n FROM t"}]}`, 200, `"rows":[[2]]`)
	f("acme", `{"statements":[]}`, 400, "1 to 1000")
	f("acme", `{"statement":[]}`, 400, "unknown field")
}

// Updates of one database wait for each other: none is lost.
func TestConcurrentUpdates(t *testing.T) {
	url := openNode(t)
	post(t, url, "acme", `{"statements":[{"sql":"CREATE TABLE n (n)"},{"sql":"INSERT INTO n VALUES (0)"}]}`)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 5 {
				if status, answer := post(t, url, "acme", `{"statements":[{"sql":"UPDATE n SET n = n + 1"}]}`); status != 200 {
					t.Errorf("%d %s", status, answer)
				}
			}
		})
	}
	all.Wait()
	if _, answer := post(t, url, "acme", `{"statements":[{"sql":"SELECT n FROM n"}]}`); !strings.Contains(answer, fmt.Sprintf("[[%d]]", 40)) {
		t.Error(answer)
	}
}
