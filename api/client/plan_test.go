package client

import (
	"net/http"
	"testing"

	"github.com/stead-io/stead/api"
)

// TestBaseOnTheWire: writes under WithIfMatch carry the condition, reads do not.
func TestBaseOnTheWire(t *testing.T) {
	var seen *http.Request
	client := open(t, inMemory{"a": func(w http.ResponseWriter, r *http.Request) {
		seen = r
		says(struct{}{})(w, r)
	}})
	f := func(want, match string, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if got := seen.Method + " " + seen.URL.RequestURI(); got != want || seen.Header.Get("If-Match") != match {
			t.Errorf("sent %q if %q, want %q if %q", got, seen.Header.Get("If-Match"), want, match)
		}
	}
	ctx := WithIfMatch(t.Context(), 41)
	_, err := client.Plan(ctx, api.PlanAsk{})
	f("POST /v1/ring/plan", `"41"`, err)
	_, err = client.Rollback(ctx, api.RollbackAsk{Change: 7})
	f("POST /v1/ring/rollback", `"41"`, err)
	_, err = client.Rebalance(ctx)
	f("POST /v1/ring/rebalance", `"41"`, err)
	_, err = client.Nodes(ctx)
	f("GET /v1/nodes", "", err)
	_, err = client.Maintain(t.Context(), "n1", 0)
	f("POST /v1/nodes/n1/maintenance", "", err)
	_, err = client.Plan(WithIfMatch(t.Context(), 0), api.PlanAsk{Apply: true})
	f("POST /v1/ring/plan", "", err)
}
