package nodesvc

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stead-io/stead/api"
)

// guarded asks a node that holds view for a key; header lists "Name: value" lines.
func guarded(t *testing.T, config Config, handler http.Handler, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	node := openNode(t, config)
	defer closeNode(t, node)
	synctest.Wait()
	return ask(t.Context(), node.Guard(handler), header...)
}

func ask(ctx context.Context, handler http.Handler, header ...string) *httptest.ResponseRecorder {
	request := httptest.NewRequestWithContext(ctx, http.MethodPut, "/x", unread{})
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		request.Header.Add(name, value)
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return recorder
}

// unread is a body that must not be read before the request is let through.
type unread struct{}

func (unread) Read([]byte) (int, error) { panic("the guard read the body") }

func echoRoute(w http.ResponseWriter, r *http.Request) {
	route, ok := RouteOf(r.Context())
	slot, _ := SlotOf(r.Context())
	_, _ = fmt.Fprintf(w, "%q %t %t", KeyOf(r.Context()), ok, route.Slot == slot)
}

func TestGuardDecides(t *testing.T) {
	slot := fmt.Sprint(testView(t, 1, 1, "n0").Slot([]byte("acme")))
	run := func(epoch api.Epoch, owner api.NodeID, header []string, status int, code api.Code, answered, named string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			got := guarded(t, testConfig(newFakeControl(testView(t, 7, epoch, owner))), http.HandlerFunc(echoRoute), header...)
			body := got.Body.String()
			if got.Code != status || code != "" && !strings.Contains(body, `"code":"`+string(code)+`"`) {
				t.Errorf("%v: %d %s, want %d %s", header, got.Code, body, status, code)
			}
			if status == 200 && body != `"acme" true true` {
				t.Errorf("%v: the handler was told %s", header, body)
			}
			if epoch, owner := got.Header().Get(api.HeaderEpoch), got.Header().Get(api.HeaderOwner); epoch != answered || owner != named {
				t.Errorf("%v: answer says epoch %q, owner %q, want %q and %q", header, epoch, owner, answered, named)
			}
			if code != "" && got.Header().Get("Content-Type") != api.ProblemType {
				t.Errorf("%v: content type %q", header, got.Header().Get("Content-Type"))
			}
		})
	}
	stamp := func(key, slot, epoch string) []string {
		return []string{"Stead-Key: " + key, "Stead-Slot: " + slot, "Stead-Epoch: " + epoch}
	}
	// Only primaryship decides.
	run(5, "n0", stamp("acme", slot, "5"), 200, "", "5", "")
	run(5, "n0", stamp("acme", slot, "3"), 200, "", "5", "")
	run(5, "n1", stamp("acme", slot, "5"), 421, api.CodeNotOwner, "5", "n1")
	run(5, "n1", stamp("acme", slot, "2"), 421, api.CodeNotOwner, "5", "n1")
	run(5, "", stamp("acme", slot, "5"), 421, api.CodeNotOwner, "5", "")
	// A newer stamp waits for a view that never comes, then the role stands.
	run(5, "n0", stamp("acme", slot, "6"), 200, "", "5", "")
	run(5, "n1", stamp("acme", slot, "6"), 421, api.CodeNotOwner, "5", "n1")
	// The key alone is enough; a stamp that is there must be right.
	run(5, "n0", []string{"Stead-Key: acme"}, 200, "", "5", "")
	run(5, "n0", stamp("acme", "0", "5"), 400, api.CodeBadKey, "", "")
	run(5, "n0", stamp("acme", "256", "5"), 400, api.CodeBadKey, "", "")
	run(5, "n0", stamp("acme", "x", "5"), 400, api.CodeBadKey, "", "")
	run(5, "n0", stamp("acme", slot, "-1"), 400, api.CodeBadKey, "", "")
	run(5, "n0", stamp("acme", slot, "99999999999999999999"), 400, api.CodeBadKey, "", "")
	run(5, "n0", append(stamp("acme", slot, "5"), "Stead-Epoch: 5"), 400, api.CodeBadKey, "", "")
	run(5, "n0", append(stamp("acme", slot, "5"), "Stead-Key: acme"), 400, api.CodeBadKey, "", "")
	run(5, "n0", []string{"Stead-Key: "}, 400, api.CodeBadKey, "", "")
	run(5, "n0", []string{"Stead-Key: a%2"}, 400, api.CodeBadKey, "", "")
	run(5, "n0", []string{"Stead-Key: a b"}, 400, api.CodeBadKey, "", "")
	run(5, "n0", []string{"Stead-Key: " + strings.Repeat("k", api.KeyLengthMax+1)}, 400, api.CodeBadKey, "", "")
	run(5, "n0", nil, 400, api.CodeNoKey, "", "")
}

func TestGuardWithoutKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		settings := testSettings()
		settings.NoKey = api.NoKeyAny
		control := newFakeControl(testViewOf(t, settings, testCluster, 1, 1, "n1"))
		got := guarded(t, testConfig(control), http.HandlerFunc(echoRoute))
		if got.Code != 200 || got.Body.String() != `"" false true` {
			t.Errorf("a cluster that takes any request answered %d %s", got.Code, got.Body)
		}
	})
	// Where clients are given keys every request that comes through a proxy has one.
	synctest.Test(t, func(t *testing.T) {
		settings := testSettings()
		settings.NoKey = api.NoKeySticky
		config := testConfig(newFakeControl(testViewOf(t, settings, testCluster, 1, 1, "n0")))
		if got := guarded(t, config, http.HandlerFunc(echoRoute)); got.Code != 400 || !strings.Contains(got.Body.String(), `"code":"no_key"`) {
			t.Errorf("a cluster that gives keys answered %d %s", got.Code, got.Body)
		}
		if got := guarded(t, config, http.HandlerFunc(echoRoute), "Stead-Key: acme"); got.Code != 200 || got.Body.String() != `"acme" true true` {
			t.Errorf("a given key was answered %d %s", got.Code, got.Body)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		got := guarded(t, testConfig(newFakeControl(testView(t, 1, 1, "n0"))), http.HandlerFunc(echoRoute))
		if !strings.Contains(got.Body.String(), "proxy") {
			t.Errorf("the answer names no way on: %s", got.Body)
		}
	})
}

func TestGuardWithoutRing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := guarded(t, testConfig(newFakeControl(nil)), http.HandlerFunc(echoRoute), "Stead-Key: acme")
		if got.Code != 503 || got.Header().Get("Retry-After") == "" || !strings.Contains(got.Body.String(), "no_ring") {
			t.Errorf("without a ring: %d %s", got.Code, got.Body)
		}
	})
}

func TestGuardParksUntilTheRingArrives(t *testing.T) {
	run := func(next api.NodeID, after time.Duration, status int) {
		synctest.Test(t, func(t *testing.T) {
			control := newFakeControl(testView(t, 7, 5, "n1"))
			node := openNode(t, testConfig(control))
			defer closeNode(t, node)
			synctest.Wait()
			time.AfterFunc(after, func() { control.publish(testView(t, 8, 6, next)) })
			began := time.Now()
			got := ask(t.Context(), node.Guard(http.HandlerFunc(echoRoute)), "Stead-Key: acme", "Stead-Epoch: 6")
			if got.Code != status || got.Header().Get(api.HeaderEpoch) != "6" {
				t.Errorf("next owner %s: %d with epoch %s, want %d with 6", next, got.Code, got.Header().Get(api.HeaderEpoch), status)
			}
			if waited := time.Since(began); waited != after {
				t.Errorf("waited %v, the ring came after %v", waited, after)
			}
		})
	}
	run("n0", 300*time.Millisecond, 200)
	run("n1", 300*time.Millisecond, 421)
	run("n0", 4*time.Second, 200)
}

func TestGuardParksForALimitedTimeAndNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := testConfig(newFakeControl(testView(t, 7, 5, "n1")))
		config.ParkedMax = 2
		node := openNode(t, config)
		defer closeNode(t, node)
		synctest.Wait()
		began := time.Now()
		waited := make(chan time.Duration, 3)
		for range 3 {
			go func() {
				ask(t.Context(), node.Guard(http.HandlerFunc(echoRoute)), "Stead-Key: acme", "Stead-Epoch: 6")
				waited <- time.Since(began)
			}()
		}
		if first, second, third := <-waited, <-waited, <-waited; first != 0 || second != ParkWaitDefault || third != ParkWaitDefault {
			t.Errorf("three requests with two places waited %v, %v, %v", first, second, third)
		}
		gone, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		began = time.Now()
		ask(gone, node.Guard(http.HandlerFunc(echoRoute)), "Stead-Key: acme", "Stead-Epoch: 6")
		if took := time.Since(began); took != 10*time.Millisecond {
			t.Errorf("a request whose client left stayed %v", took)
		}
		if stats := node.Stats(); stats.Parked != 0 || stats.Unparked != 1 || stats.Redirected != 4 {
			t.Errorf("stats: %+v", stats)
		}
	})
}

// The stamp on the answer says what the guard decided, whatever the handler does to the headers.
func TestGuardStampsAnswers(t *testing.T) {
	run := func(name string, handler http.HandlerFunc, status int, want string) {
		synctest.Test(t, func(t *testing.T) {
			got := guarded(t, testConfig(newFakeControl(testView(t, 7, 5, "n0"))), handler, "Stead-Key: acme")
			if epoch := strings.Join(got.Header().Values(api.HeaderEpoch), ","); got.Code != status || epoch != want {
				t.Errorf("%s: %d with epoch %q, want %d with %q", name, got.Code, epoch, status, want)
			}
		})
	}
	run("silent", func(http.ResponseWriter, *http.Request) {}, 200, "5")
	run("writes", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") }, 200, "5")
	run("flushes", func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() }, 200, "5")
	run("status", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, 404, "5")
	run("clears", func(w http.ResponseWriter, _ *http.Request) { clear(w.Header()); w.WriteHeader(200) }, 200, "5")
	run("forges", func(w http.ResponseWriter, _ *http.Request) { w.Header().Add(api.HeaderEpoch, "9"); w.WriteHeader(200) }, 200, "5")
	run("its own 421", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(421) }, 421, "")
	run("forged 421", func(w http.ResponseWriter, _ *http.Request) { w.Header().Add(api.HeaderEpoch, "9"); w.WriteHeader(421) }, 421, "")
}

// A reverse proxy behind the guard relays 103 and clears the headers after it.
func TestGuardStampsBehindInformationalAnswers(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a>")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusOK)
	}))
	defer upstream.Close()
	target, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	relay := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, Transport: transport}

	control := newFakeControl(testView(t, 7, 5, "n0"))
	node := openNode(t, testConfig(control))
	defer closeNode(t, node)
	<-node.live
	front := httptest.NewServer(node.Guard(relay))
	defer front.Close()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, front.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set(api.HeaderKey, "acme")
	client := &http.Client{Transport: transport}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != 200 || answer.Header.Get(api.HeaderEpoch) != "5" {
		t.Errorf("%d with epoch %q", answer.StatusCode, answer.Header.Get(api.HeaderEpoch))
	}
}

// Whatever the headers hold, a route is the slot of exactly the key they carry, or a problem.
func FuzzReadRoute(f *testing.F) {
	view := testView(f, 1, 1, "n0")
	f.Add("acme", "3", "5")
	f.Add("%00%FF", "", "0")
	f.Add("a+b", "65536", "18446744073709551615")
	f.Fuzz(func(t *testing.T, key, slot, epoch string) {
		header := http.Header{api.HeaderKey: {key}, api.HeaderSlot: {slot}, api.HeaderEpoch: {epoch}}
		route, problem := readRoute(header, view)
		if problem != nil {
			if problem.Status != 400 {
				t.Fatalf("status %d", problem.Status)
			}
			return
		}
		if route.Slot != view.Slot(route.Key) || api.EncodeKey(route.Key) != key || fmt.Sprint(route.Slot) != strings.TrimLeft(slot[:len(slot)-1], "0")+slot[len(slot)-1:] {
			t.Fatalf("%q %q %q read as %+v", key, slot, epoch, route)
		}
	})
}
