package kv

import (
	"encoding/binary"
	"errors"
)

// The layout of the store on disk, big-endian. A change of it needs another storeLayout.
//
//	entry key    0x01 | hash u64 | length of sharding key u16 | sharding key | name
//	entry value  0x01 | writer u64 | number u64 | length of content type u8 | content type | value
//	own records  0x00 | name
//
// Hashes lead, so the entries of a slot, which is a range of hashes, are one range of keys.
const (
	ownRecords   byte = 0x00
	entryRecords byte = 0x01
	entryForm    byte = 0x01

	entryHeadSize = 1 + 8 + 8 + 1
)

// Limits of what an entry is made of.
const (
	NameLengthMax        = 1024     // octets
	ContentTypeLengthMax = 255      // octets
	ValueSizeMax         = 16 << 20 // bytes
)

var errEntry = errors.New("not an entry")

func appendPlace(dst []byte, at Place) []byte {
	dst = append(dst, entryRecords)
	dst = binary.BigEndian.AppendUint64(dst, at.Hash)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(at.Key)))
	dst = append(dst, at.Key...)
	return append(dst, at.Name...)
}

// appendEntryHead writes all of an entry but its value.
func appendEntryHead(dst []byte, entry Entry) []byte {
	dst = append(dst, entryForm)
	dst = binary.BigEndian.AppendUint64(dst, entry.Version.Writer)
	dst = binary.BigEndian.AppendUint64(dst, entry.Version.Number)
	dst = append(dst, byte(len(entry.ContentType)))
	return append(dst, entry.ContentType...)
}

// readEntry is the inverse of appendEntryHead with the value behind it. The value refers to raw.
func readEntry(raw []byte) (Entry, error) {
	if len(raw) < entryHeadSize || raw[0] != entryForm {
		return Entry{}, errEntry
	}
	entry := Entry{Version: Version{
		Writer: binary.BigEndian.Uint64(raw[1:]),
		Number: binary.BigEndian.Uint64(raw[9:]),
	}}
	end := entryHeadSize + int(raw[entryHeadSize-1])
	if len(raw) < end {
		return Entry{}, errEntry
	}
	entry.ContentType = string(raw[entryHeadSize:end])
	entry.Value = raw[end:]
	return entry, nil
}
