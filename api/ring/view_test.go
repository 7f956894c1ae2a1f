package ring_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

func TestViewRoundTrip(t *testing.T) {
	view := viewOf(t, sample())
	frame := view.Encode()
	decoded, err := ring.DecodeView(frame)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(decoded.Encode(), frame) || !decoded.Settings.Equal(view.Settings) {
		t.Error("decoding and encoding gives another frame")
	}

	text, err := json.Marshal(view.JSON())
	if err != nil {
		t.Fatal(err)
	}
	var wire api.RingJSON
	if err := json.Unmarshal(text, &wire); err != nil {
		t.Fatal(err)
	}
	read, err := ring.ViewFromJSON(wire)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read.Encode(), frame) {
		t.Error("JSON gives another view")
	}
}

func TestNewViewRefuses(t *testing.T) {
	f := func(change func(*api.Settings), part string) {
		t.Helper()
		with := settings(8, 2)
		change(&with)
		_, err := ring.NewView(with, sample())
		if !errors.Is(err, ring.ErrInvalid) || !strings.Contains(err.Error(), part) {
			t.Errorf("got %v, want %q", err, part)
		}
	}
	f(func(s *api.Settings) { s.SlotBits = 9 }, "k=9")
	f(func(s *api.Settings) { s.Replicas = 1 }, "R=1")
	f(func(s *api.Settings) { s.Hash = "xxh64" }, "xxh64")
	f(func(s *api.Settings) { s.HashKey = "00" }, "hash key")
	f(func(s *api.Settings) { s.HashKey = "" }, "hash key")

	broken := sample().Clone()
	broken.Owners[0] = 77
	if _, err := ring.NewView(settings(8, 2), broken); !errors.Is(err, ring.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}

// TestDecodeViewDetects cuts the frame at every length and flips a bit in every byte.
func TestDecodeViewDetects(t *testing.T) {
	frame := viewOf(t, sample()).Encode()
	for length := range frame {
		if _, err := ring.DecodeView(frame[:length]); !errors.Is(err, ring.ErrInvalid) {
			t.Fatalf("cut to %d bytes: %v", length, err)
		}
	}
	for i := range frame {
		altered := bytes.Clone(frame)
		altered[i] ^= 1 << (i % 8)
		if _, err := ring.DecodeView(altered); !errors.Is(err, ring.ErrInvalid) {
			t.Fatalf("byte %d altered: %v", i, err)
		}
	}
	if _, err := ring.DecodeView(append(bytes.Clone(frame), 0)); !errors.Is(err, ring.ErrInvalid) {
		t.Errorf("one byte more: %v", err)
	}
}

func TestViewFromJSONRefuses(t *testing.T) {
	f := func(change func(*api.RingJSON), want error, part string) {
		t.Helper()
		wire := viewOf(t, sample()).JSON()
		change(&wire)
		_, err := ring.ViewFromJSON(wire)
		if !errors.Is(err, want) || !strings.Contains(err.Error(), part) {
			t.Errorf("got %v, want %q", err, part)
		}
	}
	f(func(w *api.RingJSON) { w.Digest = strings.Repeat("0", 64) }, ring.ErrDigest, "")
	f(func(w *api.RingJSON) { w.Digest = "zz" }, ring.ErrInvalid, "64 hex")
	f(func(w *api.RingJSON) { w.Version.Number++ }, ring.ErrDigest, "")
	f(func(w *api.RingJSON) { w.Slots[0][0]++ }, ring.ErrDigest, "")
	f(func(w *api.RingJSON) { w.Settings.SlotBits = 264 }, ring.ErrInvalid, "k is 264")
	f(func(w *api.RingJSON) { w.Settings.SlotBits = 9 }, ring.ErrInvalid, "256 slots")
	f(func(w *api.RingJSON) { w.Settings.Replicas = 0 }, ring.ErrInvalid, "R is 0")
	f(func(w *api.RingJSON) { w.Settings.Hash = "md5" }, ring.ErrInvalid, "md5")
	f(func(w *api.RingJSON) { w.Slots[4] = nil }, ring.ErrInvalid, "slot 4")
	f(func(w *api.RingJSON) { w.Slots[4] = []uint64{1, 0, 2, 3} }, ring.ErrInvalid, "3 replicas")
	f(func(w *api.RingJSON) { w.Slots[4] = []uint64{1, 65535} }, ring.ErrInvalid, "out of range")
	f(func(w *api.RingJSON) { w.Nodes[1].Index = 0 }, ring.ErrInvalid, "out of order")
	f(func(w *api.RingJSON) { w.Nodes[1].Index = -1 }, ring.ErrInvalid, "out of range")
	f(func(w *api.RingJSON) { w.Nodes[1].Status = "well" }, ring.ErrInvalid, `"well"`)
	f(func(w *api.RingJSON) { w.Nodes[1].ID = "" }, ring.ErrInvalid, "free index")
	f(func(w *api.RingJSON) { w.Nodes[1] = api.RingNode{Index: 2} }, ring.ErrInvalid, "is free")
}

func TestEmptyListsInJSON(t *testing.T) {
	view := viewOf(t, ring.NewTable("0123456789abcdef0123456789abcdef", 8, 1))
	text, err := json.Marshal([]any{view.JSON(), ring.Diff(view.Table, view.Table)})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte("null")) {
		t.Errorf("null in %s", text)
	}
}

func TestLocate(t *testing.T) {
	view := viewOf(t, sample())
	seen := 0
	for slot := range 256 {
		key := keyIn(view, ring.Slot(slot))
		got, epoch, node, ok := view.Locate(key)
		if got != view.Table.Bits.Of(view.Hash(key)) {
			t.Fatalf("%q: slot %d is not cut from its hash", key, got)
		}
		if got != ring.Slot(slot) || epoch != ring.Epoch(slot*3) || ok != (slot%16 != 15) {
			t.Fatalf("%q is in slot %d at epoch %d, %v", key, got, epoch, ok)
		}
		if ok {
			seen++
			if want := view.Table.Nodes[view.Table.Primary(got)]; !reflect.DeepEqual(node, want) {
				t.Fatalf("%q is at %v", key, node)
			}
		}
	}
	if seen == 0 {
		t.Error("no slot has a primary")
	}
	key := []byte("0123456789abcdef")
	if allocations := testing.AllocsPerRun(100, func() { view.Locate(key) }); allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}

// keyIn finds a key that falls into the slot.
func keyIn(view *ring.View, slot ring.Slot) []byte {
	for i := uint32(0); ; i++ {
		key := []byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}
		if view.Slot(key) == slot {
			return key
		}
	}
}
