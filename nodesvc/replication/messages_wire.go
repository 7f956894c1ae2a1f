package replication

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/nodesvc/replication/slotlog"
)

// Messages are big-endian. A list or a record has its u32 length before it, a name a u8, a refusal a u16.

const (
	lengthSize     = 4
	epochStartSize = 8 + 8
)

var errMalformed = errors.New("it is cut short, too long or out of bounds")

// decode reads the body of a frame, all of it. What it returns may share memory with body.
func decode[M any, P interface {
	*M
	read(*reader)
}](body []byte) (m M, err error) {
	r := reader{left: body}
	P(&m).read(&r)
	if r.failed || len(r.left) > 0 {
		var none M
		return none, fmt.Errorf("cannot read a %T: %w", none, errMalformed)
	}
	return m, nil
}

// reader takes a body apart. Once it failed it only returns zeros.
type reader struct {
	left   []byte
	failed bool
}

func (r *reader) failIf(wrong bool) {
	if wrong {
		r.failed, r.left = true, nil
	}
}

// take returns the next n octets, nil if there are fewer.
func (r *reader) take(n int) []byte {
	r.failIf(len(r.left) < n)
	if r.failed {
		return nil
	}
	taken := r.left[:n:n]
	r.left = r.left[n:]
	return taken
}

func (r *reader) rest() []byte { return r.take(len(r.left)) }

func (r *reader) uint8() uint8 {
	if octets := r.take(1); octets != nil {
		return octets[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if octets := r.take(2); octets != nil {
		return binary.BigEndian.Uint16(octets)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if octets := r.take(8); octets != nil {
		return binary.BigEndian.Uint64(octets)
	}
	return 0
}

func (r *reader) seq() ownership.Seq { return ownership.Seq(r.uint64()) }

func (r *reader) bool() bool {
	octet := r.uint8()
	r.failIf(octet > 1)
	return octet == 1
}

// length reads how many elements of at least size octets follow; the body has room for them.
func (r *reader) length(size int) int {
	octets := r.take(lengthSize)
	if octets == nil {
		return 0
	}
	length := uint64(binary.BigEndian.Uint32(octets))
	r.failIf(length*uint64(size) > uint64(len(r.left)))
	if r.failed {
		return 0
	}
	return int(length)
}

// list reads elements of at least size octets each; nil if there are none.
func list[E any](r *reader, size int, read func(*reader) E) []E {
	length := r.length(size)
	if length == 0 {
		return nil
	}
	elements := make([]E, length)
	for i := range elements {
		elements[i] = read(r)
	}
	return elements
}

func (r *reader) name() string { return string(r.take(int(r.uint8()))) }

func (r *reader) refusal() string {
	length := int(r.uint16())
	r.failIf(length > refusalMax)
	return string(r.take(length))
}

func (r *reader) replica() api.Replica {
	return api.Replica{Node: api.NodeID(r.name()), Store: api.StoreID(r.name())}
}

func (r *reader) replicas() []api.Replica {
	var replicas []api.Replica
	for range r.uint8() {
		replicas = append(replicas, r.replica())
	}
	return replicas
}

func (r *reader) history() []ownership.EpochStart {
	return list(r, epochStartSize, func(r *reader) ownership.EpochStart {
		return ownership.EpochStart{Epoch: api.Epoch(r.uint64()), Start: r.seq()}
	})
}

func (r *reader) entry() slotlog.Entry {
	entry := slotlog.Entry{Seq: r.seq(), Epoch: api.Epoch(r.uint64()), Kind: r.uint8(), Digest: r.uint64()}
	entry.Record = r.take(r.length(1))
	return entry
}

func appendUint16(dst []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(dst, v) }
func appendUint64(dst []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(dst, v) }

func appendLength(dst []byte, length int) []byte {
	return binary.BigEndian.AppendUint32(dst, uint32(length))
}

func appendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// appendName takes names of at most 255 octets; api allows fewer.
func appendName(dst []byte, name string) []byte {
	return append(append(dst, byte(len(name))), name...)
}

func appendRefusal(dst []byte, refusal string) []byte {
	refusal = refusal[:min(len(refusal), refusalMax)]
	return append(appendUint16(dst, uint16(len(refusal))), refusal...)
}

func appendReplica(dst []byte, replica api.Replica) []byte {
	return appendName(appendName(dst, string(replica.Node)), string(replica.Store))
}

// appendReplicas takes at most 255; an in-sync set is smaller.
func appendReplicas(dst []byte, replicas []api.Replica) []byte {
	dst = append(dst, byte(len(replicas)))
	for _, replica := range replicas {
		dst = appendReplica(dst, replica)
	}
	return dst
}

func appendHistory(dst []byte, history []ownership.EpochStart) []byte {
	dst = appendLength(dst, len(history))
	for _, start := range history {
		dst = appendUint64(appendUint64(dst, uint64(start.Epoch)), uint64(start.Start))
	}
	return dst
}

func appendEntry(dst []byte, entry slotlog.Entry) []byte {
	dst = appendUint64(appendUint64(dst, uint64(entry.Seq)), uint64(entry.Epoch))
	dst = appendUint64(append(dst, entry.Kind), entry.Digest)
	return append(appendLength(dst, len(entry.Record)), entry.Record...)
}
