package kv

import (
	"encoding/binary"
	"errors"

	"github.com/stead-io/stead/api"
)

// The layout of the store, big-endian. A change of it needs another storeLayout.
//
//	own records  0x00 | name
//	of a slot    0x02 | slot u16 | part u8 | …
//	  head       part 0x00 | nothing                             → form u8 | flags u8 | applied u64 | clock u64 | first u64 | next u64
//	  entries    part 0x01 | hash u64 | length u16 | key | name  → form u8 | writer u64 | number u64 | length u8 | content type | value
//	  answers    part 0x02 | hash u64 | length u16 | key | idempotency key
//	             → form u8 | place in line u64 | fingerprint 16 | outcome u8 | writer u64 | number u64
//	  line       part 0x03 | place in line u64                   → time u64 | what follows an answer's part
//
// The slot leads, so all there is of it is one range; hashes follow, so a part of a slot would be one too.
const (
	ownRecords  byte = 0x00
	slotRecords byte = 0x02 // 0x01: entries of layout 1

	partHead    byte = 0x00
	partEntries byte = 0x01
	partAnswers byte = 0x02
	partLine    byte = 0x03

	recordForm byte = 0x01

	slotPrefixSize = 1 + 2
	entryHeadSize  = 1 + 8 + 8 + 1
	headSize       = 1 + 1 + 4*8
	answerSize     = 1 + 8 + fingerprintSize + 1 + 8 + 8
)

// Limits of what an entry is made of.
const (
	KeyLengthMax         = 1024     // octets
	NameLengthMax        = 1024     // octets
	ContentTypeLengthMax = 255      // octets
	ValueSizeMax         = 16 << 20 // bytes
)

var (
	errEntry  = errors.New("not an entry")
	errHead   = errors.New("not the head of a slot")
	errAnswer = errors.New("not an answer")
)

// Place is where an entry lives: its slot, its sharding key with its hash, and its name.
type Place struct {
	Slot api.Slot
	Hash uint64 // of Key, on the ring's circle
	Key  []byte // 1 to 1024 octets
	Name []byte // 1 to 1024 octets
}

// Entry is what is stored at a place.
type Entry struct {
	Version     Version
	ContentType string // at most 255 octets
	Value       []byte
}

func appendPart(dst []byte, slot api.Slot, part byte) []byte {
	dst = binary.BigEndian.AppendUint16(append(dst, slotRecords), uint16(slot))
	return append(dst, part)
}

// appendNamed writes what tells an entry or answer from the others of its part.
func appendNamed(dst []byte, hash uint64, key, name []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, hash)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(key)))
	return append(append(dst, key...), name...)
}

func entryKey(at Place) []byte {
	return appendNamed(appendPart(nil, at.Slot, partEntries), at.Hash, at.Key, at.Name)
}

func headKey(slot api.Slot) []byte { return appendPart(nil, slot, partHead) }

func lineKey(slot api.Slot, number uint64) []byte {
	return binary.BigEndian.AppendUint64(appendPart(nil, slot, partLine), number)
}

// slotRange is where all of a slot's records are: from the first key up to, not including, the second.
func slotRange(slot api.Slot) (from, to []byte) {
	from = appendPart(nil, slot, partHead)
	return from, appendPart(nil, slot, 0xff)
}

// appendEntryHead writes all of an entry but its value.
func appendEntryHead(dst []byte, entry Entry) []byte {
	dst = appendVersion(append(dst, recordForm), entry.Version)
	dst = append(dst, byte(len(entry.ContentType)))
	return append(dst, entry.ContentType...)
}

// readEntry is the inverse of appendEntryHead with the value behind it. The value refers to raw.
func readEntry(raw []byte) (Entry, error) {
	if len(raw) < entryHeadSize || raw[0] != recordForm {
		return Entry{}, errEntry
	}
	entry := Entry{Version: readVersion(raw[1:])}
	end := entryHeadSize + int(raw[entryHeadSize-1])
	if len(raw) < end {
		return Entry{}, errEntry
	}
	entry.ContentType = string(raw[entryHeadSize:end])
	entry.Value = raw[end:]
	return entry, nil
}

func appendVersion(dst []byte, version Version) []byte {
	dst = binary.BigEndian.AppendUint64(dst, version.Writer)
	return binary.BigEndian.AppendUint64(dst, version.Number)
}

func readVersion(raw []byte) Version {
	return Version{Writer: binary.BigEndian.Uint64(raw), Number: binary.BigEndian.Uint64(raw[8:])}
}
