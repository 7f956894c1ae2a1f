package api

import (
	"strings"
	"testing"
)

func TestSlotCursor(t *testing.T) {
	f := func(text string, ok bool) {
		t.Helper()
		cursor, err := ParseSlotCursor(text)
		if (err == nil) != ok || ok && cursor.String() != text {
			t.Errorf("%q: %v, %v", text, cursor, err)
		}
	}
	f("1-0", true)
	f("2-9007199254740991", true)
	f("", false)
	f("7", false)
	f("1-", false)
	f("1-2-3", false)
	f("1-18446744073709551615", false)

	older, newer := SlotCursor{Generation: 1, Index: 9}, SlotCursor{Generation: 2, Index: 1}
	if older.Compare(newer) != -1 || newer.Compare(older) != 1 || older.Compare(older) != 0 {
		t.Error("cursors are ordered by generation, then index")
	}
}

func TestSlotStanding(t *testing.T) {
	up := func(r Replica) bool { return !strings.HasPrefix(string(r.Node), "down") && r.Store == "" }
	isr := func(nodes ...NodeID) (set []Replica) {
		for _, node := range nodes {
			set = append(set, Replica{Node: node})
		}
		return set
	}
	f := func(config SlotConfig, want SlotStanding) {
		t.Helper()
		if got := config.Standing(up); got != want {
			t.Errorf("%+v is %s, want %s", config, got, want)
		}
	}
	f(SlotConfig{}, SlotUnassigned)
	f(SlotConfig{Recovering: true, Primary: "a", ISR: isr("a")}, SlotRecovering)
	f(SlotConfig{Primary: "a", ISR: isr("a")}, SlotSettled)
	f(SlotConfig{Primary: "a", ISR: isr("a", "b"), Want: []NodeID{"a", "b"}}, SlotSettled)
	f(SlotConfig{Primary: "a", ISR: isr("b", "a"), Want: []NodeID{"a", "b"}}, SlotSettled)
	f(SlotConfig{Primary: "a", ISR: isr("a", "b"), Want: []NodeID{"b", "a"}}, SlotMoving)
	f(SlotConfig{Primary: "a", ISR: isr("a", "b"), Want: []NodeID{"a", "c"}}, SlotMoving)
	f(SlotConfig{Primary: "a", ISR: isr("a"), Want: []NodeID{"a", "b"}}, SlotMoving)
	f(SlotConfig{Primary: "a", ISR: isr("a", "b", "c"), Want: []NodeID{"a", "b"}}, SlotMoving)
	f(SlotConfig{Primary: "down1", ISR: isr("down1"), Want: []NodeID{"a"}}, SlotStranded)
	f(SlotConfig{Primary: "a", ISR: []Replica{{Node: "a", Store: "gone"}}, Want: []NodeID{"a"}}, SlotStranded)
}

func TestSlotNodeRuns(t *testing.T) {
	node := SlotNode{ID: "a", Store: "s1", Status: NodeUp}
	f := func(node SlotNode, r Replica, want bool) {
		t.Helper()
		if got := node.Runs(r); got != want {
			t.Errorf("%+v runs %v: %v", node, r, got)
		}
	}
	f(node, Replica{Node: "a", Store: "s1"}, true)
	f(node, Replica{Node: "a"}, true) // of a node that named no store
	f(node, Replica{Node: "a", Store: "s0"}, false)
	f(node, Replica{Node: "b", Store: "s1"}, false)
	node.Status = NodeDown
	f(node, Replica{Node: "a", Store: "s1"}, false)
}

func TestSlotProposalsValidate(t *testing.T) {
	fine := SlotProposal{Slot: 1, Base: 2, Kind: "shrink", Primary: "n1", ISR: []Replica{{Node: "n1", Store: StoreID(strings.Repeat("0a", 16))}}}
	f := func(edit func(*SlotProposals), field string) {
		t.Helper()
		proposals := SlotProposals{Node: "n1", Session: "s", Generation: 1, SlotBits: 8, Proposals: []SlotProposal{fine}}
		edit(&proposals)
		problem := proposals.Validate()
		if problem == nil && field != "" || problem != nil && problem.Field != field {
			t.Errorf("got %v, want field %q", problem, field)
		}
	}
	f(func(*SlotProposals) {}, "")
	f(func(p *SlotProposals) { p.Proposals = make([]SlotProposal, SlotProposalsMax+1) }, "proposals")
	f(func(p *SlotProposals) { p.Proposals = nil }, "proposals")
	f(func(p *SlotProposals) { p.Node = "" }, "node")
	f(func(p *SlotProposals) { p.Proposals[0].Primary = "n 1" }, "proposals[0].primary")
	f(func(p *SlotProposals) { p.Proposals[0].ISR = nil }, "proposals[0].isr")
	f(func(p *SlotProposals) { p.Proposals[0].ISR = make([]Replica, SlotISRMax+1) }, "proposals[0].isr")
	f(func(p *SlotProposals) { p.Proposals[0].ISR = []Replica{{Node: "n1", Store: "xyz"}} }, "proposals[0].isr")
	f(func(p *SlotProposals) { p.Proposals[0].Base = 1 << 53 }, "proposals[0].base")
}
