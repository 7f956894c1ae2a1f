package peers

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
)

// member is a peer of a running cluster, whose configuration of that index lists the given ids.
func member(name, nonce string, configured uint64, lists ...api.MemberID) api.PeerInfo {
	info := peer(name, nonce)
	info.HasState, info.Cluster, info.Applied = true, "0123456789abcdef0123456789abcdef", 100
	info.Configured, info.Members = configured, lists
	return info
}

func TestNewcomersWaitToBeAskedFor(t *testing.T) {
	self := peer("c4", "d")
	c1, c2, c4 := peer("c1", "a").ID, peer("c2", "b").ID, self.ID
	f := func(name string, newcomer bool, want string, members ...api.PeerInfo) {
		t.Helper()
		var others []witness
		for _, info := range members {
			others = append(others, witness{info: info})
		}
		decision := decide(self, others, newcomer)
		got := fmt.Sprintf("start %v, nonvoter %v, newcomer %v", decision.Start, decision.Nonvoter, decision.Newcomer)
		if decision.Refusal != nil {
			got = string(decision.Refusal.Code)
		}
		if got != want {
			t.Errorf("%s: got %s (%s)", name, got, decision.Waiting)
		}
	}
	edit := func(info api.PeerInfo, with func(*api.PeerInfo)) api.PeerInfo { with(&info); return info }
	first := member("c1", "a", 1, c1, c2)
	f("nobody asked", false, "start false, nonvoter false, newcomer true", first)
	f("asked for", false, "start false, nonvoter false, newcomer true", edit(first, func(p *api.PeerInfo) { p.Awaits = []string{"c4"} }))
	listed := edit(member("c1", "a", 9, c1, c2, c4), func(p *api.PeerInfo) { p.Nonvoters = []api.MemberID{c4} })
	f("listed", true, "start true, nonvoter true, newcomer false", listed)
	f("listed, says one who is behind nothing", true, "start true, nonvoter true, newcomer false", first, listed)
	f("listed, not committed", true, "start false, nonvoter false, newcomer true", edit(listed, func(p *api.PeerInfo) { p.Configured = 0 }))
	f("two clusters", false, string(api.CodeWrongCluster), first, edit(member("b1", "e", 1), func(p *api.PeerInfo) { p.Cluster = "other" }))
	wiped := member("c1", "a", 1, c1, "c4-0123456789abcdef")
	f("wiped", false, string(api.CodeMemberNameKnown), wiped)
	behind := edit(wiped, func(p *api.PeerInfo) { p.Applied = 50 })
	asked := edit(wiped, func(p *api.PeerInfo) { p.Awaits = []string{"c4"} })
	f("wiped, and asked for", false, "start false, nonvoter false, newcomer true", behind, asked)
	f("the cluster is away", true, "start false, nonvoter false, newcomer true", peer("c5", "f"))
}

func TestDismissal(t *testing.T) {
	directory := OpenDirectory(t.TempDir(), peer("c1", "a"), func(*api.PeerInfo) {})
	self, c2 := peer("c1", "a").ID, peer("c2", "b").ID
	f := func(listedAt, configured uint64, lists []api.MemberID, want bool) {
		t.Helper()
		if err := directory.Merge(api.Peers{Self: member("c2", "b", configured, lists...)}, now); err != nil {
			t.Fatal(err)
		}
		if _, got := directory.Dismissed(listedAt, now); got != want {
			t.Errorf("listed at %d, told %v at %d: got %v", listedAt, lists, configured, got)
		}
	}
	f(5, 9, []api.MemberID{c2}, true)
	f(5, 9, []api.MemberID{self, c2}, false)
	f(9, 5, []api.MemberID{c2}, false) // of before it was listed
	f(5, 0, []api.MemberID{c2}, false) // not committed
	f(0, 9, []api.MemberID{c2}, false) // never known to be listed
	if _, dismissed := directory.Dismissed(5, now.Add(AliveWithin+1)); dismissed {
		t.Error("dismissed by an old word")
	}
}

func TestOtherClustersAreRefused(t *testing.T) {
	directory := OpenDirectory(t.TempDir(), peer("c1", "a"), func(self *api.PeerInfo) { self.Cluster = "another" })
	if err := directory.Merge(api.Peers{Self: member("c2", "b", 1)}, now); !errors.Is(err, ErrOtherCluster) {
		t.Fatalf("got %v", err)
	}
}

// TestStrangersAreForgotten: what is no member is remembered as long as it speaks, told of as long, and
// gives way where there is no room.
func TestStrangersAreForgotten(t *testing.T) {
	c2 := peer("c2", "b").ID
	directory := OpenDirectory(t.TempDir(), peer("c1", "a"), func(self *api.PeerInfo) {
		self.Members = []api.MemberID{peer("c1", "a").ID, c2}
	})
	start := time.Now()
	tell := func(at time.Time, info api.PeerInfo, known ...api.PeerInfo) {
		t.Helper()
		if err := directory.Merge(api.Peers{Self: info, Known: known}, at); err != nil {
			t.Fatal(err)
		}
	}
	var rumours []api.PeerInfo
	for i := range 2 * peersMax {
		rumour := peer("x", "e")
		rumour.ID = api.MemberID(fmt.Sprintf("x-%016d", i))
		rumours = append(rumours, rumour)
	}
	tell(start, peer("c2", "b"), rumours...)
	tell(start, peer("c4", "d"))
	if _, known := directory.Info(peer("c4", "d").ID); !known {
		t.Fatal("no room for one who speaks for itself")
	}
	if len(directory.Empty(start)) != 2 {
		t.Fatalf("got %v", directory.Empty(start))
	}
	tell(start.Add(strangerKept+time.Second), peer("c3", "c"))
	known := directory.Message().Known
	if !slices.ContainsFunc(known, func(p api.PeerInfo) bool { return p.ID == c2 }) {
		t.Fatal("a silent member was forgotten")
	}
	if slices.ContainsFunc(known, func(p api.PeerInfo) bool { return strings.HasPrefix(string(p.ID), "x-") || p.Name == "c4" }) {
		t.Fatalf("strangers are remembered: %d known", len(known))
	}
}
