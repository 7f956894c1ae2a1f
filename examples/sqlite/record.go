package main

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// pageSize is that of every database, in bytes.
const pageSize = 4096

// A record is what a run of statements changed in a database: the pages of its file that differ, and how long
// the file is now. Applied to the same file it makes the same file, whatever the statements were.
//
//	form u8 | length u16 | key | pages u32 | {number u32 | page} …
type record struct {
	key   []byte
	pages uint32 // of the file now
	// changed pages, ascending.
	changed []page
}

// page is one page of a database's file; they count from 0.
type page struct {
	number  uint32
	content []byte
}

const recordForm = 1

var errRecord = errors.New("not a record of this version")

// difference is the record that makes before after.
func difference(key, before, after []byte) record {
	r := record{key: key, pages: uint32(len(after) / pageSize)}
	for number := range r.pages {
		content := pageOf(after, number)
		if !bytes.Equal(content, pageOf(before, number)) {
			r.changed = append(r.changed, page{number, content})
		}
	}
	return r
}

// pageOf a file, nil behind its end.
func pageOf(file []byte, number uint32) []byte {
	start := int(number) * pageSize
	if start+pageSize > len(file) {
		return nil
	}
	return file[start : start+pageSize]
}

func (r record) append() []byte {
	dst := make([]byte, 0, 16+len(r.key)+len(r.changed)*(4+pageSize))
	dst = append(dst, recordForm)
	dst = append(binary.BigEndian.AppendUint16(dst, uint16(len(r.key))), r.key...)
	dst = binary.BigEndian.AppendUint32(dst, r.pages)
	for _, changed := range r.changed {
		dst = append(binary.BigEndian.AppendUint32(dst, changed.number), changed.content...)
	}
	return dst
}

// readRecord is the inverse of append. What it returns refers to raw.
func readRecord(raw []byte) (record, error) {
	if len(raw) < 3 || raw[0] != recordForm {
		return record{}, errRecord
	}
	length := int(binary.BigEndian.Uint16(raw[1:]))
	rest := raw[3:]
	if len(rest) < length+4 || (len(rest)-length-4)%(4+pageSize) != 0 {
		return record{}, errRecord
	}
	r := record{key: rest[:length], pages: binary.BigEndian.Uint32(rest[length:])}
	for rest = rest[length+4:]; len(rest) > 0; rest = rest[4+pageSize:] {
		number := binary.BigEndian.Uint32(rest)
		if number >= r.pages {
			return record{}, errRecord
		}
		r.changed = append(r.changed, page{number, rest[4 : 4+pageSize]})
	}
	return r, nil
}
