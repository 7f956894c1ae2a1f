package kv

import (
	"encoding/binary"

	"github.com/stead-io/stead/api/ownership"
)

// head is what a slot has beside its entries and answers. A slot without one is empty.
type head struct {
	restoring bool          // the state is being read in: after a crash it is worth nothing
	applied   ownership.Seq // of this store, no part of the state
	clock     uint64        // log time: the highest of all records, in ms since 1970
	// Answers stand in line by age: from first up to, not including, next.
	first, next uint64
}

const flagRestoring = 0x01

func (h head) append(dst []byte) []byte {
	var flags byte
	if h.restoring {
		flags = flagRestoring
	}
	dst = append(dst, recordForm, flags)
	for _, number := range []uint64{uint64(h.applied), h.clock, h.first, h.next} {
		dst = binary.BigEndian.AppendUint64(dst, number)
	}
	return dst
}

func readHead(raw []byte) (head, error) {
	if len(raw) != headSize || raw[0] != recordForm || raw[1]&^flagRestoring != 0 {
		return head{}, errHead
	}
	number := func(i int) uint64 { return binary.BigEndian.Uint64(raw[2+8*i:]) }
	h := head{
		restoring: raw[1] == flagRestoring, applied: ownership.Seq(number(0)), clock: number(1), first: number(2), next: number(3),
	}
	if h.first > h.next {
		return head{}, errHead
	}
	return h, nil
}
