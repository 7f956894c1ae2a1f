package ownership_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
)

type (
	config = ownership.Config[string]
	asked  = ownership.Proposal[string]
)

func TestKindsHaveNames(t *testing.T) {
	f := func(name string, want ownership.Kind, wantOK bool) {
		t.Helper()
		got, ok := ownership.ParseKind(name)
		if got != want || ok != wantOK || ok && got.String() != name {
			t.Errorf("ParseKind(%q) = %d, %t; want %d, %t", name, got, ok, want, wantOK)
		}
	}
	f("expand", 10, true)
	f("shrink", 11, true)
	f("transfer", 12, true)
	f("abort", 13, true)
	f("promote", 14, true)
	f("yield", 15, true)
	f("force", 16, true)
	f("", 0, false)
	f("Expand", 0, false)
}

func TestConfig(t *testing.T) {
	c := config{Epoch: 1, Primary: "a", ISR: []string{"a", "b", "c"}}
	if !c.InSync("b") || c.InSync("d") || !c.Assigned() || (config{}).Assigned() {
		t.Error("the in-sync set is not told right")
	}
	if got := c.Others(); !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("others: %v", got)
	}
}

// world are facts in which a, b, c are registered and up, a and b are wanted, and R is 2.
type world struct {
	unregistered, down, unwanted string
	replicas                     int
}

func (w world) facts() ownership.Facts[string] {
	wanted := func(m string) bool { return (m == "a" || m == "b") && m != w.unwanted }
	return ownership.Facts[string]{
		Replicas:   max(2, w.replicas),
		Registered: func(m string) bool { return m != w.unregistered },
		Up:         func(m string) bool { return m != w.down },
		Wanted:     wanted,
		Missing: func(isr []string) (missing int) {
			for _, m := range []string{"a", "b"} {
				if wanted(m) && !slices.Contains(isr, m) {
					missing++
				}
			}
			return missing
		},
	}
}

func TestDecide(t *testing.T) {
	now := config{Epoch: 7, Primary: "a", ISR: []string{"a", "b"}}
	f := func(w world, p asked, want ownership.Refusal) {
		t.Helper()
		got, refusal := ownership.Decide(now, p, w.facts())
		next := config{Epoch: 8, Primary: p.Primary, ISR: p.ISR}
		if want != ownership.Accepted {
			next = now
		}
		if refusal != want || !reflect.DeepEqual(got, next) {
			t.Errorf("%+v: %+v, %q; want %q", p, got, refusal, want)
		}
	}
	all := world{}
	ask := func(kind ownership.Kind, by, primary string, isr ...string) asked {
		return asked{Kind: kind, By: by, Base: 7, Primary: primary, ISR: isr}
	}
	silent := func(p asked) asked { p.Silent = true; return p }
	based := func(base api.Epoch, p asked) asked { p.Base = base; return p }

	f(all, based(6, ask(ownership.Abort, "a", "a", "a", "b")), ownership.StaleEpoch)
	f(all, based(8, ask(ownership.Abort, "a", "a", "a", "b")), ownership.StaleEpoch)
	f(all, ask(ownership.Abort, "a", "a", "a", "a"), ownership.Malformed)
	f(all, ask(ownership.Abort, "a", "a"), ownership.Malformed)
	f(all, ask(0, "a", "a", "a", "b"), ownership.Malformed)

	f(all, ask(ownership.Expand, "a", "a", "a", "b", "c"), ownership.Accepted)
	f(all, ask(ownership.Expand, "b", "a", "a", "b", "c"), ownership.NotPrimary)
	f(all, ask(ownership.Expand, "a", "b", "a", "b", "c"), ownership.Malformed)
	f(all, ask(ownership.Expand, "a", "a", "a", "c"), ownership.Malformed)
	f(all, ask(ownership.Expand, "a", "a", "a", "b", "c", "d"), ownership.Malformed)
	f(all, ask(ownership.Expand, "a", "a", "a", "b"), ownership.Malformed)
	f(world{unregistered: "c"}, ask(ownership.Expand, "a", "a", "a", "b", "c"), ownership.NotRegistered)

	f(all, silent(ask(ownership.Shrink, "a", "a", "a")), ownership.Accepted)
	f(all, silent(ask(ownership.Shrink, "b", "a", "a")), ownership.NotPrimary)
	f(all, silent(ask(ownership.Shrink, "a", "b", "b")), ownership.Malformed)
	f(all, silent(ask(ownership.Shrink, "a", "a", "a", "b")), ownership.Malformed)
	f(all, ask(ownership.Shrink, "a", "a", "a"), ownership.StillNeeded)
	f(world{unwanted: "b"}, ask(ownership.Shrink, "a", "a", "a"), ownership.Accepted)

	f(all, ask(ownership.Transfer, "b", "b", "a", "b"), ownership.Accepted)
	f(all, ask(ownership.Transfer, "a", "b", "a", "b"), ownership.NotPrimary)
	f(all, ask(ownership.Transfer, "a", "a", "a", "b"), ownership.Malformed)
	f(all, ask(ownership.Transfer, "c", "c", "a", "b", "c"), ownership.NotInSync)
	f(all, ask(ownership.Transfer, "b", "b", "b"), ownership.StillNeeded)
	f(world{unwanted: "a"}, ask(ownership.Transfer, "b", "b", "b"), ownership.StillNeeded)
	f(all, ask(ownership.Transfer, "b", "b", "b", "c"), ownership.Malformed)

	f(all, ask(ownership.Abort, "a", "a", "b", "a"), ownership.Accepted)
	f(all, ask(ownership.Abort, "b", "a", "a", "b"), ownership.NotPrimary)
	f(all, ask(ownership.Abort, "a", "a", "a"), ownership.Malformed)

	f(world{down: "a"}, ask(ownership.Promote, "", "b", "b"), ownership.Accepted)
	f(all, ask(ownership.Promote, "", "b", "a", "b"), ownership.Accepted)
	f(all, ask(ownership.Promote, "", "b", "b"), ownership.NotDown)
	f(all, ask(ownership.Promote, "", "a", "a"), ownership.Malformed)
	f(all, ask(ownership.Promote, "", "c", "c"), ownership.NotInSync)
	f(all, ask(ownership.Promote, "", "b", "b", "c"), ownership.Malformed)
	f(world{down: "b"}, ask(ownership.Promote, "", "b", "a", "b"), ownership.NotUp)

	f(all, ask(ownership.Yield, "a", "b", "a", "b"), ownership.Accepted)
	f(all, ask(ownership.Yield, "b", "b", "a", "b"), ownership.NotPrimary)
	f(all, ask(ownership.Yield, "a", "b", "b"), ownership.Malformed)
	f(all, ask(ownership.Yield, "a", "c", "a", "b", "c"), ownership.NotInSync)

	f(all, ask(ownership.Force, "", "c", "c"), ownership.Accepted)
	f(all, ask(ownership.Force, "", "a", "a", "b"), ownership.Malformed)
	f(world{unregistered: "c"}, ask(ownership.Force, "", "c", "c"), ownership.NotRegistered)
}

func TestDecideSaysWhoProposesForNobody(t *testing.T) {
	nobody := config{Epoch: 3}
	p := asked{Kind: ownership.Abort, Base: 3, Primary: "", ISR: []string{""}}
	if _, refusal := ownership.Decide(nobody, p, world{}.facts()); refusal == ownership.Accepted {
		t.Error("nobody aborted")
	}
	forced := asked{Kind: ownership.Force, Base: 3, Primary: "a", ISR: []string{"a"}}
	if got, refusal := ownership.Decide(nobody, forced, world{}.facts()); refusal != ownership.Accepted || got.Epoch != 4 {
		t.Errorf("forced: %+v, %q", got, refusal)
	}
}

// The model's trace: n1, whom n0 has sealed to, proposes to take over, crashes, and is taken for down; then its
// proposal arrives. Accepted, it would leave the slot with a primary that is down, and that nobody succeeds.
func TestNobodyDownTakesOver(t *testing.T) {
	now := config{Epoch: 2, Primary: "a", ISR: []string{"a", "b"}}
	for kind, by := range map[ownership.Kind]string{ownership.Transfer: "b", ownership.Yield: "a", ownership.Promote: ""} {
		p := asked{Kind: kind, By: by, Base: 2, Primary: "b", ISR: now.ISR}
		if _, refusal := ownership.Decide(now, p, world{down: "b"}.facts()); refusal != ownership.NotUp {
			t.Errorf("%s to a node that is down: %q", kind, refusal)
		}
	}
}

func TestTransferLeavesThePrimaryOutOnceThereAreEnough(t *testing.T) {
	now := config{Epoch: 1, Primary: "c", ISR: []string{"a", "b", "c"}}
	p := asked{Kind: ownership.Transfer, By: "a", Base: 1, Primary: "a", ISR: []string{"a", "b"}}
	if _, refusal := ownership.Decide(now, p, world{}.facts()); refusal != ownership.Accepted {
		t.Error(refusal)
	}
	if _, refusal := ownership.Decide(now, p, world{replicas: 3}.facts()); refusal != ownership.StillNeeded {
		t.Error(refusal)
	}
}

func TestSucceed(t *testing.T) {
	f := func(now config, down string, want config, outcome ownership.Outcome) {
		t.Helper()
		got, was := ownership.Succeed(now, upBut(down), first)
		if was != outcome || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v without %q: %+v, %d; want %+v, %d", now, down, got, was, want, outcome)
		}
	}
	now := config{Epoch: 4, Primary: "a", ISR: []string{"a", "b", "c"}}
	f(now, "", now, ownership.Kept)
	f(now, "bc", now, ownership.Kept)
	f(now, "a", config{Epoch: 5, Primary: "b", ISR: []string{"b", "c"}}, ownership.Moved)
	f(now, "ab", config{Epoch: 5, Primary: "c", ISR: []string{"c"}}, ownership.Moved)
	f(now, "abc", now, ownership.Stranded)
	f(config{Epoch: 2}, "a", config{Epoch: 2}, ownership.Kept)
}

func TestRestart(t *testing.T) {
	f := func(now config, was, is, down string, want config, outcome ownership.Outcome) {
		t.Helper()
		got, became := ownership.Restart(now, was, is, upBut(down), first)
		if became != outcome || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %s as %s without %q: %+v, %d; want %+v, %d", now, was, is, down, got, became, want, outcome)
		}
	}
	now := config{Epoch: 4, Primary: "a", ISR: []string{"a", "b"}}
	sole := config{Epoch: 4, Primary: "a", ISR: []string{"a"}}
	f(now, "c", "c", "", now, ownership.Kept)
	f(now, "b", "b", "", now, ownership.Kept)
	f(now, "b", "B", "", config{Epoch: 5, Primary: "a", ISR: []string{"a"}}, ownership.Moved)
	f(now, "a", "a", "", config{Epoch: 5, Primary: "b", ISR: []string{"a", "b"}}, ownership.Moved)
	f(now, "a", "a", "b", config{Epoch: 5, Primary: "a", ISR: []string{"a", "b"}}, ownership.Reopened)
	f(now, "a", "A", "", config{Epoch: 5, Primary: "b", ISR: []string{"b"}}, ownership.Moved)
	f(now, "a", "A", "b", now, ownership.Stranded)
	f(sole, "a", "a", "", config{Epoch: 5, Primary: "a", ISR: []string{"a"}}, ownership.Reopened)
	f(sole, "a", "A", "", sole, ownership.Lost)
}

func upBut(down string) func(string) bool {
	return func(m string) bool { return !slices.Contains([]rune(down), []rune(m)[0]) }
}

func first(members []string) string { return members[0] }
