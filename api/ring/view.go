package ring

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/stead-io/stead/api"
)

// The frame of a view, big-endian: the answer of media type api.TypeRing and what a proxy keeps on
// disk. The trailer makes a truncated or altered frame an error.
//
//	magic    "SRV1"
//	length   u32, of the settings
//	settings JSON; unknown fields are ignored
//	table    its binary form
//	trailer  32 bytes, SHA-256 of all before
const (
	viewMagic       = "SRV1"
	settingsSizeMax = 64 << 10
)

// View is what a watcher routes by: settings and table of one version. It is made by NewView or one
// of the decoders, is immutable, and is read without locks.
type View struct {
	Settings api.Settings
	Table    *Table

	hasher Hasher
}

// NewView joins settings and table, which must be valid and agree on k, R and hash.
func NewView(settings api.Settings, table *Table) (*View, error) {
	view, err := newView(settings, table)
	if err == nil {
		err = table.Validate()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot view ring: %w", err)
	}
	return view, nil
}

// newView is NewView for a table that is known to be valid.
func newView(settings api.Settings, table *Table) (*View, error) {
	if settings.SlotBits != int(table.Bits) || settings.Replicas != table.Replicas {
		return nil, invalid("settings say k=%d R=%d, the table k=%d R=%d",
			settings.SlotBits, settings.Replicas, table.Bits, table.Replicas)
	}
	if settings.Hash != hashNames[table.Hash] {
		return nil, invalid("settings say hash %q, the table %q", api.Clip(settings.Hash), hashNames[table.Hash])
	}
	hasher, err := NewHasher(settings)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return &View{Settings: settings, Table: table, hasher: hasher}, nil
}

// Hash is the key's place on the circle.
func (v *View) Hash(key []byte) uint64 { return v.hasher.Hash(key) }

// Slot is the arc the key falls in.
func (v *View) Slot(key []byte) Slot { return v.Table.Bits.Of(v.hasher.Hash(key)) }

// Locate finds who serves a key; ok is false while its slot has no primary.
func (v *View) Locate(key []byte) (slot Slot, epoch Epoch, primary Node, ok bool) {
	slot = v.Slot(key)
	primary, ok = v.Table.Node(v.Table.Primary(slot))
	return slot, v.Table.Epochs[slot], primary, ok
}

// Encode writes the frame.
func (v *View) Encode() []byte {
	settings, err := json.Marshal(v.Settings)
	if err != nil {
		panic("settings are plain values, they always marshal: " + err.Error())
	}
	out := make([]byte, 0, len(viewMagic)+4+len(settings)+v.Table.binarySize()+sha256.Size)
	out = append(out, viewMagic...)
	out = binary.BigEndian.AppendUint32(out, uint32(len(settings)))
	out = append(out, settings...)
	out = v.Table.AppendBinary(out)
	trailer := sha256.Sum256(out)
	return append(out, trailer[:]...)
}

// DecodeView reads a frame, all of it.
func DecodeView(raw []byte) (*View, error) {
	view, err := decodeView(raw)
	if err != nil {
		return nil, fmt.Errorf("cannot decode ring: %w", err)
	}
	return view, nil
}

func decodeView(raw []byte) (*View, error) {
	in := &reader{rest: raw}
	if magic := in.take(len(viewMagic)); string(magic) != viewMagic {
		return nil, invalid("it does not begin with %q", viewMagic)
	}
	length := in.uint32()
	if length > settingsSizeMax {
		return nil, invalid("%d bytes of settings, at most %d", length, settingsSizeMax)
	}
	text := in.take(int(length))
	if in.short || len(in.rest) < sha256.Size {
		return nil, invalid("it is truncated")
	}
	end := len(raw) - sha256.Size
	if sum := sha256.Sum256(raw[:end]); !bytes.Equal(sum[:], raw[end:]) {
		return nil, invalid("its checksum does not match; it is truncated or altered")
	}
	var settings api.Settings
	if err := json.Unmarshal(text, &settings); err != nil {
		return nil, invalid("settings: %v", err)
	}
	table, err := decodeTable(in.rest[:len(in.rest)-sha256.Size])
	if err != nil {
		return nil, fmt.Errorf("table: %w", err)
	}
	return newView(settings, table)
}
