package kv

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A record is one write as the log carries it, big-endian. What a node of another version cannot read ends
// it: it must not guess.
//
//	form u8 | outcome u8 | hash u64 | time u64 | writer u64 | number u64 | length u16 | key | length u16 | name |
//	length u8 | idempotency key | fingerprint 16, where there is a key | length u8 | content type | value
type record struct {
	outcome     outcome
	at          Place  // but for the slot, which is the log's
	time        uint64 // ms since 1970, by the clock of who proposed it
	entry       Entry  // of a put; zero of a deletion
	idempotency string // "": none
	fingerprint fingerprint
}

// IdempotencyKeyLengthMax bounds an Idempotency-Key, in octets.
const IdempotencyKeyLengthMax = 255

var errRecord = errors.New("not a record of this version")

func (r record) append() []byte {
	size := 64 + len(r.at.Key) + len(r.at.Name) + len(r.idempotency) + fingerprintSize + len(r.entry.ContentType) + len(r.entry.Value)
	dst := append(make([]byte, 0, size), recordForm, byte(r.outcome))
	dst = binary.BigEndian.AppendUint64(dst, r.at.Hash)
	dst = binary.BigEndian.AppendUint64(dst, r.time)
	dst = appendVersion(dst, r.entry.Version)
	dst = append(binary.BigEndian.AppendUint16(dst, uint16(len(r.at.Key))), r.at.Key...)
	dst = append(binary.BigEndian.AppendUint16(dst, uint16(len(r.at.Name))), r.at.Name...)
	dst = append(append(dst, byte(len(r.idempotency))), r.idempotency...)
	if r.idempotency != "" {
		dst = append(dst, r.fingerprint[:]...)
	}
	dst = append(append(dst, byte(len(r.entry.ContentType))), r.entry.ContentType...)
	return append(dst, r.entry.Value...)
}

// readRecord is the inverse of append. What it returns refers to raw.
func readRecord(raw []byte) (record, error) {
	in := input{rest: raw}
	if form := in.octet(); form != recordForm && !in.short {
		return record{}, fmt.Errorf("%w: form %d", errRecord, form)
	}
	r := record{outcome: outcome(in.octet())}
	r.at.Hash = in.number()
	r.time = in.number()
	r.entry.Version = Version{Writer: in.number(), Number: in.number()}
	r.at.Key = in.take(in.length())
	r.at.Name = in.take(in.length())
	r.idempotency = string(in.take(int(in.octet())))
	if r.idempotency != "" {
		copy(r.fingerprint[:], in.take(fingerprintSize))
	}
	r.entry.ContentType = string(in.take(int(in.octet())))
	r.entry.Value = in.rest
	if in.short || !r.valid() {
		return record{}, errRecord
	}
	return r, nil
}

func (r record) valid() bool {
	if len(r.at.Key) == 0 || len(r.at.Key) > KeyLengthMax || len(r.at.Name) == 0 || len(r.at.Name) > NameLengthMax {
		return false
	}
	switch r.outcome {
	case created, replaced:
		return len(r.entry.Value) <= ValueSizeMax
	case deleted:
		return r.entry.Version == Version{} && r.entry.ContentType == "" && len(r.entry.Value) == 0
	default:
		return false
	}
}

// input is read from the front; reading past its end yields zeros and sets short.
type input struct {
	rest  []byte
	short bool
}

func (in *input) take(count int) []byte {
	if count > len(in.rest) {
		in.short = true
		return make([]byte, count)
	}
	taken := in.rest[:count:count]
	in.rest = in.rest[count:]
	return taken
}

func (in *input) octet() byte    { return in.take(1)[0] }
func (in *input) length() int    { return int(binary.BigEndian.Uint16(in.take(2))) }
func (in *input) number() uint64 { return binary.BigEndian.Uint64(in.take(8)) }
