package slotlog

import (
	"encoding/binary"
	"errors"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
)

// storeLayout is the layout on disk that this version reads and writes. All integers are big-endian.
//
//	0 "layout"       → storeLayout
//	1 slot16 seq64   → record: epoch64 kind8 digest64 total64, then the service's octets
//	2 slot16         → meta: adopted64 acked64 base64 digest64 flags8, the configuration if the flags say so,
//	                   then (epoch64 start64) each
//
// A configuration is primary8, the place of the primary among the members, 255 for none; members8; and of each
// the length in 8 bits and the octets of its node's name and its store's. Its epoch is adopted64.
//
// total counts the octets of the slot's records since the last reset.
const storeLayout = "1"

// The first octet of a key.
const (
	ownKeys    = 0
	recordKeys = 1
	metaKeys   = 2
	endOfKeys  = 3
)

// Lengths in bytes.
const (
	recordKeySize  = 1 + 2 + 8
	recordHeadSize = 8 + 1 + 8 + 8
	metaKeySize    = 1 + 2
	metaHeadSize   = 4*8 + 1
	epochStartSize = 8 + 8
)

// Flags of a meta.
const (
	flagHeld   = 1
	flagConfig = 2
	flagsKnown = flagHeld | flagConfig
)

var layoutKey = append([]byte{ownKeys}, "layout"...)

// errMalformed says that a key or value is not of the layout.
var errMalformed = errors.New("malformed")

func recordKey(slot api.Slot, seq ownership.Seq) []byte {
	key := make([]byte, 0, recordKeySize)
	key = binary.BigEndian.AppendUint16(append(key, recordKeys), uint16(slot))
	return binary.BigEndian.AppendUint64(key, uint64(seq))
}

func readRecordKey(key []byte) (slot api.Slot, seq ownership.Seq, err error) {
	if len(key) != recordKeySize || key[0] != recordKeys {
		return 0, 0, errMalformed
	}
	return api.Slot(binary.BigEndian.Uint16(key[1:])), ownership.Seq(binary.BigEndian.Uint64(key[3:])), nil
}

func metaKey(slot api.Slot) []byte {
	return binary.BigEndian.AppendUint16([]byte{metaKeys}, uint16(slot))
}

// putRecord writes an entry's value to a slice of recordHeadSize more bytes than its record.
func putRecord(to []byte, entry *Entry, total uint64) {
	binary.BigEndian.PutUint64(to, uint64(entry.Epoch))
	to[8] = entry.Kind
	binary.BigEndian.PutUint64(to[9:], entry.Digest)
	binary.BigEndian.PutUint64(to[17:], total)
	copy(to[recordHeadSize:], entry.Record)
}

// readRecord returns an entry whose record is a part of the value.
func readRecord(seq ownership.Seq, value []byte) (entry Entry, total uint64, err error) {
	if len(value) < recordHeadSize {
		return Entry{}, 0, errMalformed
	}
	return Entry{
		Seq:    seq,
		Epoch:  api.Epoch(binary.BigEndian.Uint64(value)),
		Kind:   value[8],
		Digest: binary.BigEndian.Uint64(value[9:]),
		Record: value[recordHeadSize:],
	}, binary.BigEndian.Uint64(value[17:]), nil
}

func appendMeta(to []byte, meta *Meta) []byte {
	to = binary.BigEndian.AppendUint64(to, uint64(meta.Adopted))
	to = binary.BigEndian.AppendUint64(to, uint64(meta.Acked))
	to = binary.BigEndian.AppendUint64(to, uint64(meta.Base))
	to = binary.BigEndian.AppendUint64(to, meta.Digest)
	to = append(to, flagsOf(meta))
	if len(meta.Config.ISR) > 0 {
		to = appendConfig(to, meta.Config)
	}
	for _, start := range meta.History {
		to = binary.BigEndian.AppendUint64(to, uint64(start.Epoch))
		to = binary.BigEndian.AppendUint64(to, uint64(start.Start))
	}
	return to
}

func flagsOf(meta *Meta) (flags byte) {
	if meta.Held {
		flags |= flagHeld
	}
	if len(meta.Config.ISR) > 0 {
		flags |= flagConfig
	}
	return flags
}

func readMeta(value []byte) (Meta, error) {
	if len(value) < metaHeadSize || value[32]&^flagsKnown != 0 {
		return Meta{}, errMalformed
	}
	meta := Meta{
		Adopted: api.Epoch(binary.BigEndian.Uint64(value)),
		Acked:   api.Epoch(binary.BigEndian.Uint64(value[8:])),
		Base:    ownership.Seq(binary.BigEndian.Uint64(value[16:])),
		Digest:  binary.BigEndian.Uint64(value[24:]),
		Held:    value[32]&flagHeld != 0,
	}
	rest := value[metaHeadSize:]
	if value[32]&flagConfig != 0 {
		var err error
		if meta.Config, rest, err = readConfig(meta.Adopted, rest); err != nil {
			return Meta{}, err
		}
	}
	if len(rest)%epochStartSize != 0 {
		return Meta{}, errMalformed
	}
	for ; len(rest) > 0; rest = rest[epochStartSize:] {
		meta.History = append(meta.History, ownership.EpochStart{
			Epoch: api.Epoch(binary.BigEndian.Uint64(rest)),
			Start: ownership.Seq(binary.BigEndian.Uint64(rest[8:])),
		})
	}
	return meta, nil
}
