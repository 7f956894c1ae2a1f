package nodesvc

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc/replication"
)

// askEngine sends a request through the guard of a node with an engine.
func askEngine(t *testing.T, f *fakeEngine, handler func(*Node) http.HandlerFunc, header ...string) (got *httptest.ResponseRecorder) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		config, _ := engineConfig(t, f)
		node := openNode(t, config)
		defer closeNode(t, node)
		synctest.Wait()
		got = ask(t.Context(), node.Guard(handler(node)), append(header, "Stead-Key: acme")...)
	})
	return got
}

func quiet(*Node) http.HandlerFunc { return func(http.ResponseWriter, *http.Request) {} }

func TestGuardByTheEngine(t *testing.T) {
	run := func(place replication.Place, stamp string, status int, code api.Code, epoch string) {
		t.Helper()
		got := askEngine(t, newFakeEngine(place), quiet, "Stead-Epoch: "+stamp)
		if got.Code != status || !strings.Contains(got.Body.String(), string(code)) || got.Header().Get(api.HeaderEpoch) != epoch {
			t.Errorf("place %d, stamp %s: %d %s, epoch %q", place, stamp, got.Code, got.Body, got.Header().Get(api.HeaderEpoch))
		}
		if status == 503 && got.Header().Get("Retry-After") == "" {
			t.Errorf("place %d, stamp %s: no Retry-After", place, stamp)
		}
	}
	run(replication.PlaceHere, "5", 200, "", "5")
	run(replication.PlaceHere, "4", 200, "", "5")
	run(replication.PlaceHere, "6", 200, "", "5") // after the wait its own role stands
	run(replication.PlaceElsewhere, "5", 421, api.CodeNotOwner, "5")
	run(replication.PlaceElsewhere, "6", 421, api.CodeNotOwner, "5")
	run(replication.PlaceComing, "5", 503, api.CodeSlotMoving, "")
}

// TestGuardParksUntilTheSlotIsHere, or is known to be elsewhere.
func TestGuardParksUntilTheSlotIsHere(t *testing.T) {
	run := func(next replication.Place, status int) {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeEngine(replication.PlaceComing)
			config, _ := engineConfig(t, f)
			node := openNode(t, config)
			defer closeNode(t, node)
			synctest.Wait()
			time.AfterFunc(30*time.Millisecond, func() { f.stand(next, 6, "n1") })
			began := time.Now()
			got := ask(t.Context(), node.Guard(quiet(node)), "Stead-Key: acme", "Stead-Epoch: 5")
			if got.Code != status || got.Header().Get(api.HeaderEpoch) != "6" || time.Since(began) != 30*time.Millisecond {
				t.Errorf("%d with epoch %s after %v", got.Code, got.Header().Get(api.HeaderEpoch), time.Since(began))
			}
		})
	}
	run(replication.PlaceHere, 200)
	run(replication.PlaceElsewhere, 421)
}

// TestParkedRequestsAreBoundByMemory: what does not fit is refused at once, and may come again.
func TestParkedRequestsAreBoundByMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config, _ := engineConfig(t, newFakeEngine(replication.PlaceComing))
		node := openNode(t, config)
		defer closeNode(t, node)
		synctest.Wait()
		leave, ok := node.parking.enter(ParkedBytesMax - parkedCostMin - parkedBodyMax)
		if !ok {
			t.Fatal("an empty place is full")
		}
		done := make(chan int, 1)
		go func() { done <- ask(t.Context(), node.Guard(quiet(node)), "Stead-Key: acme").Code }()
		synctest.Wait()
		began := time.Now()
		got := ask(t.Context(), node.Guard(quiet(node)), "Stead-Key: acme")
		if got.Code != 503 || !strings.Contains(got.Body.String(), "slot_moving") || got.Header().Get("Retry-After") == "" || time.Since(began) != 0 {
			t.Errorf("%d %s after %v", got.Code, got.Body, time.Since(began))
		}
		if _, err := node.Update(t.Context(), []byte("other"), nil); api.CodeOf(err) != api.CodeSlotMoving {
			t.Errorf("an update found room: %v", err)
		}
		<-done
		leave()
		if stats := node.Stats(); stats.ParkedBytes != 0 || stats.Parked != 0 || stats.Unparked != 1 {
			t.Errorf("stats %+v", stats)
		}
	})
}

// TestErrorsOfUpdates: what WriteError makes of them depends on whether anything was appended, and on where the
// slot is by then.
func TestErrorsOfUpdates(t *testing.T) {
	run := func(name string, failures []error, after replication.Place, status int, code api.Code, epoch string) {
		t.Helper()
		f := newFakeEngine(replication.PlaceHere)
		f.onUpdate = func() error {
			f.stand(after, 6, "n1")
			err := failures[0]
			failures = failures[1:]
			return err
		}
		updates := len(failures)
		got := askEngine(t, f, func(node *Node) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				for range updates {
					propose := func() ([]byte, error) { return []byte("x"), nil }
					if _, err := node.Update(r.Context(), KeyOf(r.Context()), propose); err != nil {
						WriteError(w, r, err)
						return
					}
				}
			}
		})
		if got.Code != status || !strings.Contains(got.Body.String(), string(code)) || got.Header().Get(api.HeaderEpoch) != epoch {
			t.Errorf("%s: %d %s, epoch %q, want %d %s %q", name, got.Code, got.Body, got.Header().Get(api.HeaderEpoch), status, code, epoch)
		}
		if repeatable := got.Header().Get("Retry-After") != ""; repeatable != (code != "" && api.Codes[code].Retry) {
			t.Errorf("%s: to be repeated: %t", name, repeatable)
		}
		if owner := got.Header().Get(api.HeaderOwner); (owner == "n1") != (status == 421) {
			t.Errorf("%s: owner %q", name, owner)
		}
	}
	gone := api.NewProblem(api.CodeNotOwner, "")
	moving := api.NewProblem(api.CodeSlotMoving, "")
	unknown := api.NewProblem(api.CodeOutcomeUnknown, "")
	run("done", []error{nil}, replication.PlaceHere, 200, "", "5")
	run("gone", []error{gone}, replication.PlaceElsewhere, 421, api.CodeNotOwner, "6")
	run("moving, gone by now", []error{moving}, replication.PlaceElsewhere, 421, api.CodeNotOwner, "6")
	run("moving", []error{moving}, replication.PlaceComing, 503, api.CodeSlotMoving, "5")
	run("gone and back", []error{gone}, replication.PlaceHere, 503, api.CodeSlotMoving, "5")
	run("gone after an update", []error{nil, gone}, replication.PlaceElsewhere, 503, api.CodeOutcomeUnknown, "5")
	run("moving after an update", []error{nil, moving}, replication.PlaceComing, 503, api.CodeOutcomeUnknown, "5")
	run("unknown", []error{unknown}, replication.PlaceElsewhere, 503, api.CodeOutcomeUnknown, "5")
	run("full", []error{api.NewProblem(api.CodeStorageFull, "")}, replication.PlaceHere, 507, api.CodeStorageFull, "5")
	run("a fault", []error{errAway}, replication.PlaceHere, 500, api.CodeInternal, "5")
}

// TestUpdateWithoutARecord appends nothing, so what comes after may go elsewhere.
func TestUpdateWithoutARecord(t *testing.T) {
	f := newFakeEngine(replication.PlaceHere)
	got := askEngine(t, f, func(node *Node) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			key := KeyOf(r.Context())
			_, none := node.Update(r.Context(), key, func() ([]byte, error) { return nil, nil })
			_, refused := node.Update(r.Context(), key, func() ([]byte, error) { return nil, errAway })
			if none != nil || !errors.Is(refused, errAway) {
				t.Errorf("%v, %v", none, refused)
			}
			f.stand(replication.PlaceElsewhere, 6, "n1")
			WriteError(w, r, api.NewProblem(api.CodeNotOwner, ""))
		}
	})
	if got.Code != 421 || got.Header().Get(api.HeaderEpoch) != "6" {
		t.Errorf("%d %s", got.Code, got.Body)
	}
}

// TestUpdateOfAnotherSlot: a request is sent after its own slot alone.
func TestUpdateOfAnotherSlot(t *testing.T) {
	f := newFakeEngine(replication.PlaceHere)
	f.onUpdate = func() error { return api.NewProblem(api.CodeNotOwner, "") }
	askEngine(t, f, func(node *Node) http.HandlerFunc {
		return func(_ http.ResponseWriter, r *http.Request) {
			propose := func() ([]byte, error) { return []byte("x"), nil }
			_, own := node.Update(r.Context(), []byte("acme"), propose)
			_, other := node.Update(r.Context(), []byte("another"), propose)
			_, outside := node.Update(context.WithoutCancel(t.Context()), []byte("another"), propose)
			if api.CodeOf(own) != api.CodeNotOwner || api.CodeOf(other) != api.CodeSlotMoving || api.CodeOf(outside) != api.CodeNotOwner {
				t.Errorf("own %v, other %v, outside of a request %v", own, other, outside)
			}
		}
	})
}

func TestReadsAreLocalOnRequest(t *testing.T) {
	run := func(want bool, header ...string) {
		f := newFakeEngine(replication.PlaceHere)
		f.onRead = func(local bool) error {
			if local != want {
				t.Errorf("%v: local %t", header, local)
			}
			return nil
		}
		askEngine(t, f, func(node *Node) http.HandlerFunc {
			return func(_ http.ResponseWriter, r *http.Request) {
				if err := node.Read(r.Context(), KeyOf(r.Context()), nil); err != nil {
					t.Error(err)
				}
				if epoch, serves := node.Epoch(slotIn(t, r)); epoch != 5 || !serves {
					t.Errorf("epoch %d, %t", epoch, serves)
				}
			}
		}, header...)
	}
	run(false)
	run(true, "Stead-Read: local")
	run(false, "Stead-Read: strict")
}

// slotIn is the slot of a request that has one.
func slotIn(t *testing.T, r *http.Request) api.Slot {
	t.Helper()
	slot, ok := SlotOf(r.Context())
	if !ok {
		t.Fatal("the request has no slot")
	}
	return slot
}

// TestNodeWithoutServiceHasNoUpdates.
func TestNodeWithoutServiceHasNoUpdates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := openNode(t, testConfig(newFakeControl(testView(t, 7, 5, "n0"))))
		defer closeNode(t, node)
		synctest.Wait()
		if _, err := node.Update(t.Context(), []byte("acme"), nil); api.CodeOf(err) != api.CodeInternal {
			t.Errorf("%v", err)
		}
		if epoch, serves := node.Epoch(3); epoch != 5 || !serves {
			t.Errorf("epoch %d, %t", epoch, serves)
		}
	})
}

// TestLeaveWithReplicas: slots are handed over, then the node says that it leaves, and to the end it sends late
// requests after them.
func TestLeaveWithReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine(replication.PlaceHere)
		config, control := engineConfig(t, f)
		config.OnDown = api.OnDownReset // of no meaning with replicas
		node := openNode(t, config)
		synctest.Wait()
		f.onYield = func(context.Context) error {
			if got := serving(t, node); got != "served" || strings.Contains(control.history(), "leaving") {
				t.Errorf("while it yields: %s after %s", got, control.history())
			}
			f.stand(replication.PlaceElsewhere, 6, "n1")
			return nil
		}
		if err := node.Leave(t.Context()); err != nil {
			t.Error(err)
		}
		got := ask(t.Context(), node.Guard(quiet(node)), "Stead-Key: acme", "Stead-Epoch: 5")
		if got.Code != 421 || got.Header().Get(api.HeaderOwner) != "n1" || got.Header().Get(api.HeaderEpoch) != "6" {
			t.Errorf("a late request got %d %s", got.Code, got.Body)
		}
		f.stand(replication.PlaceHere, 6, "n0")
		if got := serving(t, node); got != "draining" {
			t.Errorf("a late request for a slot that nobody took: %s", got)
		}
		closeNode(t, node)
		if got := control.history(); got != "register beat leaving" {
			t.Error(got)
		}
	})
}

// TestYieldIsBounded: what nobody takes does not keep the node.
func TestYieldIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeEngine(replication.PlaceHere)
		f.onYield = func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}
		config, control := engineConfig(t, f)
		node := openNode(t, config)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		began := time.Now()
		if err := node.Close(ctx); err != nil || time.Since(began) != 5*time.Second+linger {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if got := control.history(); !strings.HasSuffix(got, "leaving") {
			t.Error(got)
		}
	})
}
