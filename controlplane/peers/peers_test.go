package peers

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
)

var now = time.Unix(1_700_000_000, 0)

func peer(name, nonce string) api.PeerInfo {
	return api.PeerInfo{
		ID: api.MemberID(name + "-" + strings.Repeat(nonce, 16)), Name: name, Boot: 1,
		API: "http://127.0.0.1:1", Raft: "127.0.0.1:2", Expect: 3, Bootstrap: "same",
	}
}

func TestDecide(t *testing.T) {
	self := peer("c1", "a")
	ids := []api.MemberID{peer("c1", "a").ID, peer("c2", "b").ID, peer("c3", "c").ID}
	seesAll := func(name, nonce string, edit func(*api.PeerInfo)) witness {
		info := peer(name, nonce)
		if edit != nil {
			edit(&info)
		}
		return witness{info: info, sees: ids}
	}
	hasState := func(members ...api.MemberID) func(*api.PeerInfo) {
		return func(info *api.PeerInfo) { info.HasState, info.Members = true, members }
	}
	blind := seesAll("c3", "c", nil)
	blind.sees = nil
	f := func(name string, others []witness, want string) {
		t.Helper()
		decision := decide(self, others, false)
		got := "wait"
		if decision.Newcomer {
			got = "wait as newcomer"
		}
		switch {
		case decision.Refusal != nil:
			got = "refuse " + string(decision.Refusal.Code)
		case decision.Start && len(decision.Founders) > 0:
			got = "found"
		case decision.Start && decision.Nonvoter:
			got = "follow"
		case decision.Start:
			got = "join"
		}
		if got != want {
			t.Errorf("%s: got %s (%s), want %s", name, got, decision.Waiting, want)
		}
	}
	c2 := seesAll("c2", "b", nil)
	f("alone", nil, "wait")
	f("two of three", []witness{c2}, "wait")
	f("three", []witness{c2, seesAll("c3", "c", nil)}, "found")
	f("three, one does not see all", []witness{c2, blind}, "wait")
	f("four", []witness{c2, seesAll("c3", "c", nil), seesAll("c4", "d", nil)}, "wait")
	f("other flags", []witness{c2, seesAll("c3", "c", func(p *api.PeerInfo) { p.Bootstrap = "other" })}, "wait")
	f("other size", []witness{c2, seesAll("c3", "c", func(p *api.PeerInfo) { p.Expect = 5 })}, "wait")
	f("a founder that is late", []witness{seesAll("c2", "b", hasState(ids...))}, "join")
	f("wiped", []witness{seesAll("c2", "b", hasState("c1-0123456789abcdef", ids[1]))}, "refuse member_name_known")
	f("not listed", []witness{seesAll("c2", "b", hasState(ids[1], ids[2]))}, "wait as newcomer")
	f("namesake", []witness{{info: peer("c1", "e")}}, "refuse member_name_known")
}

func TestDirectoryKeepsTheNewestAddress(t *testing.T) {
	folder := t.TempDir()
	directory := OpenDirectory(folder, peer("c1", "a"), func(*api.PeerInfo) {})
	tell := func(boot uint64, raft string) {
		info := peer("c2", "b")
		info.Boot, info.Raft = boot, raft
		if err := directory.Merge(api.Peers{Self: info}, now); err != nil {
			t.Fatal(err)
		}
	}
	tell(2, "127.0.0.1:20")
	tell(1, "127.0.0.1:10") // an old word, late
	tell(3, "127.0.0.1:30")
	id := peer("c2", "b").ID
	if address, err := directory.RaftAddress(id); err != nil || address != "127.0.0.1:30" {
		t.Fatalf("got %s, %v", address, err)
	}
	if address, err := OpenDirectory(folder, peer("c1", "a"), func(*api.PeerInfo) {}).RaftAddress(id); err != nil || address != "127.0.0.1:30" {
		t.Fatalf("after a restart: got %s, %v", address, err)
	}
	if _, err := directory.RaftAddress("nobody"); err == nil {
		t.Fatal("an unknown member has an address")
	}
	if !directory.Alive(id, now.Add(AliveWithin)) || directory.Alive(id, now.Add(AliveWithin+1)) {
		t.Fatal("alive for too long or too short")
	}
}

// TestTwoProcessesOfOneIdentity: a copy of a member's folder does not take over while the member lives.
func TestTwoProcessesOfOneIdentity(t *testing.T) {
	directory := OpenDirectory(t.TempDir(), peer("c1", "a"), func(*api.PeerInfo) {})
	original, clone := peer("c2", "b"), peer("c2", "b")
	clone.Boot, clone.API, clone.Raft = 2, "http://127.0.0.1:11", "127.0.0.1:12"
	tell := func(info api.PeerInfo, at time.Time) error {
		return directory.Merge(api.Peers{Self: info}, at)
	}
	if err := tell(original, now); err != nil {
		t.Fatal(err)
	}
	if err := tell(clone, now.Add(time.Second)); !errors.Is(err, ErrElsewhere) {
		t.Fatalf("got %v", err)
	}
	if err := tell(clone, now.Add(AliveWithin+time.Second)); err != nil {
		t.Fatalf("a member that moved was refused: %v", err)
	}
	copied := peer("c1", "a")
	copied.API = "http://127.0.0.1:21"
	if err := tell(copied, now); !errors.Is(err, ErrElsewhere) {
		t.Fatalf("a copy of this very member: %v", err)
	}
}

func TestDecisionsWaitForTheFirstRound(t *testing.T) {
	alone := peer("c1", "a")
	alone.Expect = 1
	directory := OpenDirectory(t.TempDir(), alone, func(*api.PeerInfo) {})
	if decision := directory.Decide(now, false); decision.Start {
		t.Fatal("founded before anybody was asked")
	}
	directory.MarkAsked()
	if decision := directory.Decide(now, false); !decision.Start {
		t.Fatalf("got %+v", decision)
	}
}

func TestHearsayTellsAddressesOnly(t *testing.T) {
	directory := OpenDirectory(t.TempDir(), peer("c1", "a"), func(*api.PeerInfo) {})
	rumour := peer("c3", "c")
	rumour.HasState = true
	if err := directory.Merge(api.Peers{Self: peer("c2", "b"), Known: []api.PeerInfo{rumour}}, now); err != nil {
		t.Fatal(err)
	}
	if info, known := directory.Info(rumour.ID); !known || info.HasState || directory.Alive(rumour.ID, now) {
		t.Fatalf("got %+v", info)
	}
	bad := peer("c4", "d")
	bad.Raft = "nowhere"
	if directory.Merge(api.Peers{Self: bad}, now) == nil {
		t.Fatal("an address that is none was taken")
	}
}

func TestIdentityStaysWithItsFolder(t *testing.T) {
	folder := t.TempDir()
	first, err := LoadIdentity(folder, "c1")
	if err != nil {
		t.Fatal(err)
	}
	second, err := LoadIdentity(folder, "c1")
	if err != nil || second.ID() != first.ID() || second.Boot != first.Boot+1 {
		t.Fatalf("got %+v, %v after %+v", second, err, first)
	}
	if _, err := LoadIdentity(folder, "c2"); !errors.Is(err, ErrFolderOf) {
		t.Fatalf("got %v", err)
	}
}

// A member remembers addresses as URLs of the time when there was no TLS; it asks them in TLS.
func TestTargetsSpeakTheSchemeOfNow(t *testing.T) {
	directory := OpenDirectory(t.TempDir(), peer("c1", "a"), func(*api.PeerInfo) {})
	other := peer("c2", "b")
	other.API = "http://127.0.0.1:3"
	if err := directory.Merge(api.Peers{Self: other}, now); err != nil {
		t.Fatal(err)
	}
	exchange := &Exchange{Directory: directory, Join: []string{"127.0.0.1:3", "127.0.0.1:4"}, Scheme: "https"}
	if got := strings.Join(exchange.targets(), " "); got != "https://127.0.0.1:3 https://127.0.0.1:4" {
		t.Errorf("asked are %s", got)
	}
}

// TestOversizedPeersAreNotPassedOn: what one process tells must not make the members' messages longer than
// they take from each other.
func TestOversizedPeersAreNotPassedOn(t *testing.T) {
	directory := OpenDirectory(t.TempDir(), peer("c1", "a"), func(*api.PeerInfo) {})
	f := func(name string, edit func(*api.PeerInfo)) {
		t.Helper()
		fat := peer("c2", "b")
		edit(&fat)
		if err := directory.Merge(api.Peers{Self: fat}, now); err == nil {
			t.Errorf("%s was taken first hand", name)
		}
		if err := directory.Merge(api.Peers{Self: peer("c3", "c"), Known: []api.PeerInfo{fat}}, now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if known := directory.Message().Known; len(known) != 1 || known[0].ID != peer("c3", "c").ID {
			t.Errorf("%s: %d are passed on", name, len(known))
		}
	}
	long := strings.Repeat("x", textMax+1)
	f("an id", func(info *api.PeerInfo) { info.ID += api.MemberID(long) })
	f("a cluster", func(info *api.PeerInfo) { info.Cluster = api.ClusterID(long) })
	f("settings", func(info *api.PeerInfo) { info.Bootstrap = long })
	f("a member", func(info *api.PeerInfo) { info.Members = []api.MemberID{api.MemberID(long)} })
	f("a name that is awaited", func(info *api.PeerInfo) { info.Awaits = []string{long} })
	f("many members", func(info *api.PeerInfo) { info.Members = make([]api.MemberID, listMax+1) })
	f("many names", func(info *api.PeerInfo) { info.Awaits = make([]string, listMax+1) })
}
