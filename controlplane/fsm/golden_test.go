package fsm

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
)

var update = flag.Bool("update", false, "write new golden log entries; never change one that was released")

// goldenCommands holds one command of each type. Entries of these stand in testdata/log: a program must
// decode what any earlier one wrote.
func goldenCommands() map[CommandType]Command {
	weight, zone := 3, "b"
	return map[CommandType]Command{
		TypeBootstrap: Bootstrap{Cluster: testCluster, Settings: testSettings()},
		TypeMember:    Member{ID: "c1-0011223344556677", Name: "c1"},
		TypeRegister: Register{api.Registration{
			ID: "n1", Address: "127.0.0.1:7500", PublicAddress: "node.example:80", Zone: "a", Weight: 2,
			OnDown: api.OnDownReset, Lease: api.LeaseNone, Check: &api.Check{HTTP: "/healthz", Interval: api.Duration(api.CheckIntervalDefault), Failures: 3},
			TTL: api.Duration(api.TTLDefault), StoreID: testCluster, Volatile: true, Boot: 7, Nonce: "abc",
			Service: "kv", SlotBits: 8, Replace: true, Meta: map[string]string{"rack": "r1"},
		}},
		TypeStatus:    Status{[]Transition{{Node: "n1", Session: "1-3", Status: api.NodeDown, Reason: "no beat for 2s"}}},
		TypeDrain:     Drain{Node: "n1", On: true},
		TypePatch:     Patch{Node: "n1", Patch: api.NodePatch{Weight: &weight, Zone: &zone}},
		TypeRemove:    Remove{Node: "n1", Force: true},
		TypeRebalance: Rebalance{},
		TypeSettings:  Settings{Keys: []string{"path:/kv/{key}"}, NoKey: api.NoKeyAny, Force: true},
		TypeWant:      Want{Base: 4, Want: []byte{0, 0, 0xff, 0xff}, Changes: []api.ChangeID{2, 3}},
		TypeHold:      Hold{Changes: []api.ChangeID{5}, Reason: "held"},
		TypeLevel:     Level{Level: 1},
		TypeReport: Report{
			Node: "n1", Session: "2-9", Version: api.Version{Generation: 1, Number: 57}, Owners: []api.NodeID{"n2"},
			Rows: []byte{0, 3, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0},
		},
		TypeDelivered: Delivered{Webhook: "00112233445566778899aabbccddeeff", Index: 57},
		TypeArrange: Arrange{
			Base: 4, Seen: 7, Rebalance: true, Rollback: 3, Want: []byte{0, 0, 0xff, 0xff}, Settle: []api.ChangeID{6},
			Edits: Edits{
				Add:     []api.Registration{{ID: "n9", Address: "127.0.0.1:7509", Weight: 2, Zone: "b", Lease: api.LeaseNone}},
				Undrain: []api.NodeID{"n4"}, Remove: []api.NodeID{"n1"}, Drain: []api.NodeID{"n3"}, Force: true,
				Patch: []Patch{{Node: "n2", Patch: api.NodePatch{Weight: &weight}}},
			},
		},
		TypeMaintenance: Maintenance{Node: "n1", For: api.Duration(15 * time.Minute)},
		TypeForget:      Forget{ID: "c1-0011223344556677"},
		TypeEnlist:      Enlist{Name: "c4", Replaces: "c1-0011223344556677", On: true},
		TypeRestore:     Restore{Snapshot: []byte("gzip"), Force: true},
		TypeCas: Cas{Node: "n2", Session: "1-7", Generation: 1, Proposals: []api.SlotProposal{
			{Slot: 9, Base: 4, Kind: "shrink", Primary: "n2", ISR: []api.Replica{{Node: "n2", Store: testCluster}}, Silent: true},
		}},
		TypeCancel: Cancel{Change: 12},
		TypeEvict:  Evict{Node: "n1"},
		TypeForce:  Force{Slot: 17, Node: "n2"},
		TypeOut:    Out{Node: "n1", Session: "1-3"},
	}
}

func TestGoldenLogEntries(t *testing.T) {
	commands := goldenCommands()
	for kind := range CommandType(math.MaxUint8) {
		command, listed := commands[kind]
		if _, err := decodeCommand(kind, []byte("{}")); listed == errors.Is(err, ErrUnknownCommand) {
			t.Fatalf("command %d and its golden entry do not come together", kind)
		}
		if !listed {
			continue
		}
		header := Header{Time: 1_700_000_000_000, Origin: By("alice@host")}
		path := filepath.Join("testdata", "log", fmt.Sprintf("%02d.entry", kind))
		if *update {
			entry, err := Encode(header, command)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, entry, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		entry, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		gotHeader, got, err := Decode(entry)
		if err != nil || gotHeader != header || !reflect.DeepEqual(got, command) {
			t.Errorf("%s decodes to %+v %+v, %v; want %+v", path, gotHeader, got, err, command)
		}
	}
}

// FuzzApply feeds arbitrary entries to a state with nodes: each is refused or leaves the invariants.
func FuzzApply(f *testing.F) {
	for kind := range goldenCommands() {
		if entry, err := os.ReadFile(filepath.Join("testdata", "log", fmt.Sprintf("%02d.entry", kind))); err == nil {
			f.Add(entry)
		}
	}
	h := pair(f)
	for _, command := range []Command{
		h.arrangement(Edits{Add: []api.Registration{node("n3", 3)}, Remove: []api.NodeID{"n1"}, Force: true}),
		h.arrangement(Edits{Drain: []api.NodeID{"n1"}}),
	} {
		entry, err := Encode(Header{}, command)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(entry)
	}
	for _, command := range managedCommands(f) {
		entry, err := Encode(Header{}, command)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(entry)
	}
	m := trio(f, 2)
	restored := h.state.Reborn(h.state, Rebirth{Kind: "restore", Level: LevelSupported})
	reborn := m.state.Reborn(m.state, Rebirth{Kind: "restore", Level: LevelSupported})
	f.Fuzz(func(t *testing.T, entry []byte) {
		for _, state := range []*State{h.state, restored, m.state, reborn} {
			next, _, err := Apply(state, state.Index+1, entry)
			if err != nil {
				return
			}
			if err := next.Check(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzDecodeState feeds damaged snapshots under a right digest: each is refused, or is a state with its
// invariants.
func FuzzDecodeState(f *testing.F) {
	h := newHistory(f)
	h.must(Register{node("n1", 1)})
	h.spread("n1")
	_, body, _ := bytes.Cut(encode(f, h.state), []byte("\n"))
	f.Add(body)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		sum := sha256.Sum256(body)
		head := snapshotMagic + hex.EncodeToString(sum[:]) + "\n"
		state, err := DecodeState(bytes.NewReader(append([]byte(head), body...)))
		if err != nil {
			return
		}
		if err := state.Check(); err != nil {
			t.Fatal(err)
		}
		if state.Cluster == "" {
			return
		}
		// What it would be restored as is refused as a whole, or can be read by every member.
		var restored bytes.Buffer
		if h.state.Reborn(state, Rebirth{Kind: "restore", Level: LevelSupported}).Encode(&restored) == nil {
			_, _ = DecodeState(&restored)
		}
	})
}

func TestDamagedSnapshotsAreRefused(t *testing.T) {
	h := newHistory(t)
	h.must(Register{node("n1", 1)})
	whole := encode(t, h.state)
	for _, damaged := range [][]byte{nil, []byte("x"), whole[:len(whole)-1], append(bytes.Clone(whole), ' '), whole[1:]} {
		if _, err := DecodeState(bytes.NewReader(damaged)); !errors.Is(err, ErrSnapshot) {
			t.Errorf("got %v", err)
		}
	}
}
