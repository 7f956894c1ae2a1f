package controlplane

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
)

// newPlanned is a lone member with two static nodes that share the ring.
func newPlanned(t *testing.T, onDown api.OnDown) lone {
	t.Helper()
	l := newLone(t, func(config *Config) {
		config.NodeCIDRs = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/24")}
		config.PlanDelay, config.Settings.SlotBits = 50*time.Millisecond, api.SlotBitsMin
	})
	for i := range 2 {
		l.send("POST", "/v1/nodes", fmt.Sprintf(`{"id":"n%d","address":"127.0.0.1:%d","lease":"none","on_down":%q}`, i+1, i+1, onDown))
	}
	l.await(func() bool { return len(l.State().SlotsHeld()) == 2 })
	return l
}

// ask posts a body and decodes the answer; it must have the status.
func ask[Answer any](l lone, status int, path, body string, headers ...string) (answer Answer, response *http.Response) {
	l.t.Helper()
	response, content := l.send("POST", path, body, headers...)
	if response.StatusCode != status {
		l.t.Fatalf("%s %s: got %d %s", path, body, response.StatusCode, api.Clip(string(content)))
	}
	if err := json.Unmarshal(content, &answer); err != nil {
		l.t.Fatalf("%s %s: %v", path, body, err)
	}
	return answer, response
}

func (l lone) diff(from, to any) api.RingDiff {
	l.t.Helper()
	_, content := l.send("GET", fmt.Sprintf("/v1/ring/diff?from=%v&to=%v", from, to), "")
	var diff api.RingDiff
	if err := json.Unmarshal(content, &diff); err != nil {
		l.t.Fatal(err)
	}
	return diff
}

func TestBadPlansChangeNothing(t *testing.T) {
	l := newPlanned(t, api.OnDownWait)
	before := l.State()
	f := func(path, body string, status int, code api.Code, field string, headers ...string) {
		t.Helper()
		problem, _ := ask[api.Problem](l, status, path, body, headers...)
		if problem.Code != code || problem.Field != field {
			t.Errorf("%s %s: got %s %q (%s)", path, api.Clip(body), problem.Code, problem.Field, problem.Detail)
		}
	}
	const plan, rollback, maintain = "/v1/ring/plan", "/v1/ring/rollback", "/v1/nodes/n1/maintenance"
	f(plan, `{"ad":[]}`, 400, api.CodeInvalid, "ad")
	f(plan, `{"add":["n9"]}`, 400, api.CodeInvalid, "add")
	f(plan, `{"add":[{"id":"n 9"}]}`, 400, api.CodeInvalid, "add")
	f(plan, `{"add":[{"id":"n9","wieght":2}]}`, 400, api.CodeInvalid, "wieght")
	f(plan, `{"add":[{"id":"n9","weight":1000000000}]}`, 400, api.CodeInvalid, "add.weight")
	f(plan, `{"add":[{"id":"n9","address":"127.0.0.1"}]}`, 400, api.CodeAddressRefused, "add.address")
	f(plan, `{"add":[{"id":"n9","address":"10.0.0.1:1"}]}`, 400, api.CodeAddressRefused, "add.address")
	f(plan, `{"add":[{"id":"n9","zone":"a b"}]}`, 400, api.CodeInvalid, "add.zone")
	f(plan, `{"add":[{"id":"n9"}],"remove":["n9"]}`, 400, api.CodeInvalid, "remove")
	f(plan, `{"drain":["n1","n1"]}`, 400, api.CodeInvalid, "drain")
	f(plan, `{"weights":{"n1":0}}`, 400, api.CodeInvalid, "weights.n1")
	f(plan, `{"weights":{"n1":1.5}}`, 400, api.CodeInvalid, "weights")
	f(plan, `{"weights":{"n1":2},"remove":["n1"]}`, 400, api.CodeInvalid, "weights.n1")
	f(plan, `{"remove":[`+strings.Repeat(`"n1",`, 1000)+`"n1"]}`, 400, api.CodeInvalid, "")
	f(plan, `{"apply":true,"remove":["n1"]}`, 409, api.CodeLastCopy, "remove")
	f(plan, `{"apply":true,"drain":["n1","n2"]}`, 409, api.CodeLastNode, "drain")
	f(plan, `{"apply":true,"drain":["n9"]}`, 404, api.CodeNodeUnknown, "drain")
	f(plan, `{"apply":true,"add":[{"id":"n9"}]}`, 400, api.CodeInvalid, "add")
	f(plan, `{"apply":true,"add":[{"id":"n9","address":"127.0.0.1:1"}]}`, 409, api.CodeAddressInUse, "add")
	f(plan, `{"apply":true,"drain":["n1"],"expect":"00"}`, 412, api.CodePlanStale, "expect")
	f(plan, `{"drain":["n1"]}`, 412, api.CodePrecondition, "If-Match", `If-Match: "1"`)
	f(plan, `{"apply":true,"drain":["n1"]}`, 412, api.CodePrecondition, "If-Match", `If-Match: "1"`)
	f(rollback, ``, 400, api.CodeInvalid, "change")
	f(rollback, `{"change":"2"}`, 400, api.CodeInvalid, "change")
	f(rollback, `{"change":99}`, 404, api.CodeChangeUnknown, "")
	f(rollback, `{"change":1}`, 400, api.CodeInvalid, "change")
	f(rollback, `{"change":2,"dry":true}`, 400, api.CodeInvalid, "dry")
	f(rollback, `{"change":2}`, 412, api.CodePrecondition, "If-Match", `If-Match: "1"`)
	f(maintain, ``, 400, api.CodeInvalid, "for")
	f(maintain, `{"for":15}`, 400, api.CodeInvalid, "for")
	f(maintain, `{"for":"-1s"}`, 400, api.CodeInvalid, "for")
	f(maintain, `{"for":"25h"}`, 400, api.CodeInvalid, "for")
	f(maintain, `{"from":"1h"}`, 400, api.CodeInvalid, "from")
	f("/v1/nodes/n9/maintenance", `{"for":"1m"}`, 404, api.CodeNodeUnknown, "")
	if after := l.State(); after.Version() != before.Version() || after.NewestChange() != before.NewestChange() {
		t.Errorf("bad input moved the ring from %s to %s", before.Version(), after.Version())
	}
}

// TestPlanApplyRollback: what a plan says is what the diff shows, and a rollback undoes it slot for slot.
func TestPlanApplyRollback(t *testing.T) {
	l := newPlanned(t, api.OnDownWait)
	first := l.State()
	body := `{"add":[{"id":"n9","address":"127.0.0.1:9","weight":2}],"drain":["n2"]%s}`
	plan, _ := ask[api.RingPlan](l, 200, "/v1/ring/plan", fmt.Sprintf(body, ""))
	if plan.Applied != nil || !plan.Changes || l.State().NewestChange() != first.NewestChange() {
		t.Fatalf("a plan was applied: %+v", plan.Applied)
	}
	if plan.Moved != plan.Minimum || plan.Change != first.NewestChange() || plan.Modulo == nil {
		t.Errorf("got %d moved, least %d, change %d, modulo %v", plan.Moved, plan.Minimum, plan.Change, plan.Modulo)
	}
	applied, _ := ask[api.RingPlan](l, 200, "/v1/ring/plan", fmt.Sprintf(body, fmt.Sprintf(`,"apply":true,"expect":%q`, plan.Digest)),
		fmt.Sprintf(`If-Match: "%d"`, plan.Change))
	if diff := l.diff(first.Version(), applied.Applied.Version); !reflect.DeepEqual(diff, plan.Diff) || !reflect.DeepEqual(diff, applied.Diff) {
		t.Fatal("the plan and the diff differ")
	}
	back, _ := ask[api.RingPlan](l, 200, "/v1/ring/rollback", fmt.Sprintf(`{"change":%d,"dry_run":true}`, first.NewestChange()))
	undone, _ := ask[api.RingPlan](l, 200, "/v1/ring/rollback", fmt.Sprintf(`{"change":%d,"expect":%q}`, first.NewestChange(), back.Digest))
	if undone.Cause != fmt.Sprintf("rollback to change %d", first.NewestChange()) || undone.Note == "" {
		t.Errorf("got %q, %q", undone.Cause, undone.Note)
	}
	if diff := l.diff(applied.Applied.Version, undone.Applied.Version); !reflect.DeepEqual(diff, back.Diff) {
		t.Fatal("the rollback and the diff differ")
	}
	// n2 drains still: what was its goes to others, the rest is as it was.
	for _, slot := range l.diff(first.Version(), undone.Applied.Version).Slots {
		if before, after := slot.Before.Replicas[0], slot.After.Replicas[0]; before != after && before != "n2" {
			t.Fatalf("slot %d went from %s to %s", slot.Slot, before, after)
		}
	}
}

// TestPlanUnderAKey: the same request with the same key is carried out once.
func TestPlanUnderAKey(t *testing.T) {
	l := newPlanned(t, api.OnDownWait)
	body, key := `{"weights":{"n1":3},"apply":true}`, "Idempotency-Key: k1"
	once, _ := ask[api.RingPlan](l, 200, "/v1/ring/plan", body, key)
	newest := l.State().NewestChange()
	again, response := ask[api.RingPlan](l, 200, "/v1/ring/plan", body, key)
	if response.Header.Get(api.HeaderReplayed) != "true" || l.State().NewestChange() != newest {
		t.Errorf("it was not replayed: %v", response.Header)
	}
	if !reflect.DeepEqual(again.Applied, once.Applied) || !reflect.DeepEqual(again.Diff, once.Diff) || again.Cause != once.Cause || again.Change != once.Change {
		t.Errorf("first %+v of %d, then %+v of %d", once.Applied, once.Change, again.Applied, again.Change)
	}
	problem, _ := ask[api.Problem](l, 422, "/v1/ring/plan", `{"weights":{"n1":4},"apply":true}`, key)
	if problem.Code != api.CodeKeyReused {
		t.Errorf("got %s", problem.Code)
	}
}

func TestPlanOfNothingIsNotApplied(t *testing.T) {
	l := newPlanned(t, api.OnDownWait)
	before := l.State()
	for _, body := range []string{`{"apply":true}`, `{"apply":true,"weights":{"n1":1}}`, `{"rebalance":true,"apply":true}`} {
		plan, _ := ask[api.RingPlan](l, 200, "/v1/ring/plan", body)
		if plan.Changes || plan.Applied != nil || plan.Moved != 0 || plan.Note != "nothing to change" {
			t.Errorf("%s: got %+v", body, plan)
		}
	}
	if l.State().NewestChange() != before.NewestChange() {
		t.Error("nothing to change made a change")
	}
}

// TestMaintenanceOverHTTP: a node that is away in its maintenance keeps its slots; when that ends, it is gone.
func TestMaintenanceOverHTTP(t *testing.T) {
	l := newPlanned(t, api.OnDownReset)
	l.send("POST", "/v1/nodes", `{"id":"n3","address":"127.0.0.1:3","on_down":"reset","ttl":"500ms"}`)
	l.await(func() bool { return len(l.State().SlotsHeld()) == 3 })
	held := func() int { return l.State().SlotsHeld()[l.State().Node("n3").Index] }
	began := held()
	changed, _ := ask[api.Changed](l, 200, "/v1/nodes/n3/maintenance", `{"for":"1h"}`)
	if changed.Change == 0 {
		t.Fatal("no change was made")
	}
	_, content := l.send("GET", "/v1/nodes/n3", "")
	var shown api.Node
	if err := json.Unmarshal(content, &shown); err != nil || shown.Maintenance == nil || time.Until(*shown.Maintenance) < 50*time.Minute {
		t.Fatalf("got %s", content)
	}
	l.await(func() bool { return l.State().Node("n3").Status == api.NodeDown })
	l.await(func() bool { return l.duties.ledFor(time.Now()) > evictAfterElection })
	ask[api.Changed](l, 200, "/v1/ring/rebalance", `{}`)
	if held() != began || len(l.State().Pending()) == 0 {
		t.Fatalf("it holds %d slots in its maintenance, had %d", held(), began)
	}
	ask[api.Changed](l, 200, "/v1/nodes/n3/maintenance", `{"for":"0s"}`)
	l.await(func() bool { return held() == 0 })
}

// TestPlansWhileNodesRegister: each answer is what its own change did, however much else happens.
func TestPlansWhileNodesRegister(t *testing.T) {
	l := newPlanned(t, api.OnDownReset)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 10; i < 100; i++ {
			select {
			case <-stop:
				return
			default:
			}
			body := fmt.Sprintf(`{"id":"r%d","address":"127.0.0.1:%d","lease":"none","on_down":"reset"}`, i, i)
			if response, err := http.Post("http://"+l.APIAddr()+"/v1/nodes", api.TypeJSON, strings.NewReader(body)); err == nil {
				_ = response.Body.Close()
			}
		}
	}()
	for i := range 12 {
		path, body := "/v1/ring/plan", fmt.Sprintf(`{"apply":true,"weights":{"n1":%d}}`, 2+i%2)
		if i%3 == 2 {
			path, body = "/v1/ring/rollback", fmt.Sprintf(`{"change":%d}`, 3)
		}
		done, _ := ask[api.RingPlan](l, 200, path, body)
		if done.Applied == nil {
			continue
		}
		if diff := l.diff(done.Diff.From, done.Applied.Version); !reflect.DeepEqual(diff, done.Diff) {
			t.Fatalf("%s: %d slots were said to move, %d did, or others", done.Cause, done.Diff.Moved, diff.Moved)
		}
	}
	close(stop)
	<-stopped
}
