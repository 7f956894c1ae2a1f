package ring_test

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

var update = flag.Bool("update", false, "write the files in testdata anew")

// golden compares with a file in testdata, or writes it with -update. These files are the wire
// contract: a difference means that old and new processes do not understand each other.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got:\n%s", path, got)
	}
}

func asJSON(t *testing.T, value any) string {
	t.Helper()
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}

// asHex writes bytes 32 to a line.
func asHex(raw []byte) string {
	var text strings.Builder
	for len(raw) > 0 {
		line := raw[:min(32, len(raw))]
		text.WriteString(hex.EncodeToString(line) + "\n")
		raw = raw[len(line):]
	}
	return text.String()
}

func settings(k, replicas int) api.Settings {
	return api.Settings{
		Service: "kv", State: api.StateNone, Keys: []string{"header:X-Shard-Key", "path:/kv/{key}"}, NoKey: api.NoKeyReject,
		SlotBits: k, Replicas: replicas, Hash: api.HashSipHash24, HashKey: "000102030405060708090a0b0c0d0e0f",
	}
}

// sample is a small table with everything in it: a free index, every status, empty places.
func sample() *ring.Table {
	table := ring.NewTable("0123456789abcdef0123456789abcdef", 8, 2)
	table.Version, table.Previous = api.Version{Generation: 2, Number: 41}, 40
	table.Nodes = []ring.Node{
		{ID: "n1", Address: "127.0.0.1:7501", Status: ring.StatusUp},
		{},
		{ID: "node-2", Address: "node-2.example.com:7500", Status: ring.StatusSuspect},
		{ID: "n3", Address: "[::1]:7503", Status: ring.StatusDown},
		{ID: "n4", Address: "10.0.0.4:7500", Status: ring.StatusDraining},
	}
	listed := []ring.NodeIndex{0, 2, 3, 4}
	for slot := range table.Epochs {
		table.Epochs[slot] = ring.Epoch(slot * 3)
		places := table.ReplicasOf(ring.Slot(slot))
		if slot%16 != 15 {
			places[0] = listed[slot%4]
		}
		if slot%8 < 6 {
			places[1] = listed[(slot+1+slot/4%3)%4]
		}
	}
	return table
}

func TestGoldenHash(t *testing.T) {
	type vector struct {
		HashKey string    `json:"hash_key"`
		Key     *string   `json:"key,omitempty"` // absent where it is not UTF-8
		KeyHex  string    `json:"key_hex"`
		Hash    string    `json:"hash"`
		Slot8   ring.Slot `json:"slot_of_2^8"`
		Slot12  ring.Slot `json:"slot_of_2^12"`
		Slot16  ring.Slot `json:"slot_of_2^16"`
	}
	keys := []string{
		"", "a", "acme", "0123456789abcdef", "tenant/42?x=1", " spaces kept ", "Acme", "größe", "grösse", "北京市", "🦊",
		"\x00", "\x00\x00", "\xff\xfe\x80", "a\r\nb", strings.Repeat("k", api.KeyLengthMax),
	}
	var vectors []vector
	for _, hashKey := range []string{"000102030405060708090a0b0c0d0e0f", "ffffffffffffffff0000000000000000"} {
		with := settings(12, 1)
		with.HashKey = hashKey
		hasher, err := ring.NewHasher(with)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			hash := hasher.Hash([]byte(key))
			v := vector{HashKey: hashKey, KeyHex: hex.EncodeToString([]byte(key)), Hash: fmt.Sprintf("%016x", hash)}
			v.Slot8, v.Slot12, v.Slot16 = ring.Bits(8).Of(hash), ring.Bits(12).Of(hash), ring.Bits(16).Of(hash)
			if utf8.ValidString(key) {
				v.Key = &key
			}
			vectors = append(vectors, v)
		}
	}
	golden(t, "hash.json", asJSON(t, vectors))
}

// TestHashReference checks against the test vector in appendix A of the SipHash paper.
func TestHashReference(t *testing.T) {
	hasher, err := ring.NewHasher(settings(12, 1))
	if err != nil {
		t.Fatal(err)
	}
	message := []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}
	if got := hasher.Hash(message); got != 0xa129ca6149be45e5 {
		t.Errorf("got %016x", got)
	}
}

func TestGoldenTable(t *testing.T) {
	table := sample()
	golden(t, "table.hex", asHex(table.AppendBinary(nil)))
	golden(t, "table.digest", table.Digest().String()+"\n")
}

func TestGoldenView(t *testing.T) {
	view := viewOf(t, sample())
	golden(t, "view.hex", asHex(view.Encode()))
	golden(t, "view.json", asJSON(t, view.JSON()))
}

func TestGoldenDelta(t *testing.T) {
	from, to := sample(), sample().Clone()
	to.Version, to.Previous = api.Version{Generation: 2, Number: 42}, 41
	to.Nodes[1] = ring.Node{ID: "n5", Address: "127.0.0.1:7505", Status: ring.StatusUp}
	to.Nodes[3] = ring.Node{}
	for slot := range to.Epochs {
		places := to.ReplicasOf(ring.Slot(slot))
		for i, index := range places {
			if index == 3 {
				places[i] = 1
				to.Epochs[slot]++
			}
		}
	}
	changed := settings(8, 2)
	changed.Keys = []string{"query:tenant"}
	golden(t, "delta.json", asJSON(t, ring.Between(from, to).Wire(&changed)))
	golden(t, "diff.json", asJSON(t, ring.Diff(from, to)))
}

func viewOf(t testing.TB, table *ring.Table) *ring.View {
	t.Helper()
	view, err := ring.NewView(settings(int(table.Bits), table.Replicas), table)
	if err != nil {
		t.Fatal(err)
	}
	return view
}
