package ring_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// Tables are long, and the fuzzer likes to spend its time on shortening them: run these targets with
// -fuzzminimizetime=10x.

func FuzzDecodeTable(f *testing.F) {
	f.Add(sample().AppendBinary(nil))
	f.Add(ring.NewTable("00000000000000000000000000000000", 8, 1).AppendBinary(nil))
	f.Add([]byte("SRT1"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		table, err := ring.DecodeTable(raw)
		if err != nil {
			return
		}
		if err := table.Validate(); err != nil {
			t.Fatalf("decoded, but %v", err)
		}
		if !bytes.Equal(table.AppendBinary(nil), raw) {
			t.Fatal("encodes to other bytes")
		}
	})
}

// FuzzDecodeView gives every input the trailer it needs to get past the checksum.
func FuzzDecodeView(f *testing.F) {
	frame := viewOf(f, sample()).Encode()
	f.Add(frame[:len(frame)-sha256.Size])
	f.Add([]byte("SRV1\x00\x00\x00\x02{}SRT1"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, err := ring.DecodeView(body); err == nil {
			t.Fatal("decoded without a trailer")
		}
		trailer := sha256.Sum256(body)
		view, err := ring.DecodeView(append(bytes.Clone(body), trailer[:]...))
		if err != nil {
			return
		}
		again, err := ring.DecodeView(view.Encode())
		if err != nil || !again.Settings.Equal(view.Settings) || again.Table.Digest() != view.Table.Digest() {
			t.Fatalf("not the same after a round trip: %v", err)
		}
		view.Locate(body)
	})
}

// FuzzViewFromJSON gives every table that could be read the digest it needs.
func FuzzViewFromJSON(f *testing.F) {
	text, err := json.Marshal(viewOf(f, sample()).JSON())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"settings":{"slot_bits":8,"replicas":1},"slots":[[0]]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var wire api.RingJSON
		if json.Unmarshal(text, &wire) != nil {
			return
		}
		table, err := ring.TableFromJSON(wire)
		if err != nil {
			return
		}
		wire.Digest = table.Digest().String()
		view, err := ring.ViewFromJSON(wire)
		if err != nil {
			return // the hash is not known
		}
		again, err := ring.ViewFromJSON(view.JSON())
		if err != nil || !bytes.Equal(again.Encode(), view.Encode()) {
			t.Fatalf("not the same after a round trip: %v", err)
		}
	})
}

// FuzzDelta gives every delta that leads to a valid table the digest it needs.
func FuzzDelta(f *testing.F) {
	base := sample()
	to := base.Clone()
	to.Version.Number, to.Previous = 42, 41
	to.Nodes[1] = ring.Node{ID: "n5", Address: "h:1", Status: ring.StatusUp}
	to.Nodes[4] = ring.Node{}
	for i, index := range to.Owners {
		if index == 4 {
			to.Owners[i] = 1
		}
	}
	text, err := json.Marshal(ring.Between(base, to).Wire(nil))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text, 2)
	f.Add([]byte(`{"nodes":[{"index":65534,"id":"x","address":"h:1","status":"up"}],"slots":[[0,1,65534],[255,9]]}`), 1)
	f.Fuzz(func(t *testing.T, text []byte, replicas int) {
		var wire api.RingDelta
		if json.Unmarshal(text, &wire) != nil {
			return
		}
		wire.Cluster, wire.From = base.Cluster, base.Version
		if wire.Digest == "" {
			wire.Digest = base.Digest().String()
		}
		delta, err := ring.DeltaFromWire(&wire, replicas)
		if err != nil {
			return
		}
		next, err := ring.Patch(delta, base)
		if err != nil {
			return
		}
		if err := next.Validate(); err != nil {
			t.Fatalf("patched, but %v", err)
		}
		delta.Digest = next.Digest()
		again, err := ring.DeltaFromWire(ring.Between(base, next).Wire(nil), next.Replicas)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range []*ring.Delta{delta, again} {
			if applied, err := d.Apply(base); err != nil || applied.Digest() != next.Digest() {
				t.Fatalf("applied: %v", err)
			}
		}
	})
}
