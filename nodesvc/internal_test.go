package nodesvc

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc/replication"
)

// serveEngine serves a node with an engine on a port of its own.
func serveEngine(t *testing.T, f *fakeEngine, change func(*Config)) (*Node, *httptest.Server) {
	t.Helper()
	config, _ := engineConfig(t, f)
	change(&config)
	node := openNode(t, config)
	<-node.keeping
	server := httptest.NewUnstartedServer(nil)
	server.Config = NewServer(node.Guard(quiet(node)), node.logger).Server
	server.Start()
	t.Cleanup(func() {
		if err := node.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("close: %v", err)
		}
		server.Close()
	})
	return node, server
}

// operate sends an operator's request and returns status, headers and body; the error is one of reading it.
func operate(t *testing.T, server *httptest.Server, method, path string, body io.Reader, header ...string) (*http.Response, string, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		request.Header.Set(name, value)
	}
	answer, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	whole, err := io.ReadAll(answer.Body)
	return answer, string(whole), err
}

func TestOperatorsAtTheNode(t *testing.T) {
	f := newFakeEngine(replication.PlaceHere)
	f.onBackup = func(w io.Writer) error {
		_, err := io.WriteString(w, "all of it")
		return err
	}
	_, server := serveEngine(t, f, func(*Config) {})
	run := func(method, path string, status int, want string, header ...string) {
		t.Helper()
		answer, body, err := operate(t, server, method, path, strings.NewReader("a state"), header...)
		if err != nil || answer.StatusCode != status || !strings.Contains(body, want) {
			t.Errorf("%s %s: %d %s (%v), want %d %s", method, path, answer.StatusCode, body, err, status, want)
		}
	}
	const actor, stamp = "Stead-Actor: root", "Stead-Key: acme"
	run("GET", "/.stead/slots", 200, `"role":"backup"`)
	run("GET", "/.stead/slots/3/digest", 200, `{"slot":3,"seq":9,"digest":"0102`)
	run("GET", "/.stead/slots/3/state", 200, "all of it", actor)
	run("PUT", "/.stead/slots/3/state", 409, "not empty", actor)
	run("PUT", "/.stead/slots/3/state?over=true", 204, "", actor)
	if f.restored != "a state" {
		t.Errorf("restored %q", f.restored)
	}
	// What is not one of these, and what came by way of a proxy.
	run("PUT", "/.stead/slots/3/state?over=perhaps", 400, "over", actor)
	run("GET", "/.stead/slots/256/state", 400, "from 0 to 255", actor)
	run("GET", "/.stead/slots/x/digest", 400, "slot")
	run("GET", "/.stead/other", 404, "not served")
	run("GET", "/.stead/slots", 403, "operators", stamp)
	run("GET", "/.stead/slots/3/state", 403, "Stead-Actor")
	run("PUT", "/.stead/slots/3/state", 403, "Stead-Actor")
	run("GET", "/.stead/peer", 400, "Upgrade")

	answer, _, _ := operate(t, server, "GET", "/.stead/slots/3/state", nil, actor)
	if answer.Header.Get(api.HeaderEpoch) != "5" || answer.Header.Get(api.HeaderSeq) != "9" {
		t.Errorf("state of epoch %q, seq %q", answer.Header.Get(api.HeaderEpoch), answer.Header.Get(api.HeaderSeq))
	}
	f.stand(replication.PlaceElsewhere, 6, "n1")
	answer, _, _ = operate(t, server, "GET", "/.stead/slots/3/state", nil, actor)
	if answer.StatusCode != 421 || answer.Header.Get(api.HeaderOwner) != "n1" {
		t.Errorf("of another's slot: %d, owner %q", answer.StatusCode, answer.Header.Get(api.HeaderOwner))
	}
}

// TestStateIsWholeOrBrokenOff: no reader and no engine takes a part of a state for the whole.
func TestStateIsWholeOrBrokenOff(t *testing.T) {
	f := newFakeEngine(replication.PlaceHere)
	f.onBackup = func(w io.Writer) error {
		_, err := io.WriteString(w, strings.Repeat("x", 64<<10))
		return errors.Join(err, errAway)
	}
	_, server := serveEngine(t, f, func(*Config) {})
	if answer, body, err := operate(t, server, "GET", "/.stead/slots/3/state", nil, "Stead-Actor: root"); err == nil {
		t.Errorf("a part came as the whole: %d, %d octets", answer.StatusCode, len(body))
	}
	body := io.MultiReader(strings.NewReader("a part"), failing{})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, server.URL+"/.stead/slots/3/state?over=1", body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set(api.HeaderActor, "root")
	if answer, err := server.Client().Do(request); err == nil {
		t.Errorf("a part was taken: %s", answer.Status)
		answer.Body.Close()
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errAway }

// TestNodesLink: a node dials another through its guard, and both hear of it.
func TestNodesLink(t *testing.T) {
	one, two := newFakeEngine(replication.PlaceHere), newFakeEngine(replication.PlaceHere)
	first, _ := serveEngine(t, one, func(*Config) {})
	second, server := serveEngine(t, two, func(c *Config) { c.ID = "n2" })
	address := server.Listener.Addr().String()
	first.keeper.Load().links.Follow([]api.SlotNode{{ID: "n2", Address: address, Status: api.NodeUp}})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	await(ctx, t, func() bool {
		_, out := first.keeper.Load().links.Peer("n2")
		_, in := second.keeper.Load().links.Peer("n0")
		return out && in
	})
	await(ctx, t, func() bool {
		two.mu.Lock()
		defer two.mu.Unlock()
		return len(two.linked) == 1 && two.linked[0].Store == first.registration.StoreID
	})
}

// await polls a condition of connections, which tell nobody when they are there.
func await(ctx context.Context, t *testing.T, met func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !met() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("it did not come about in time")
		}
	}
}
