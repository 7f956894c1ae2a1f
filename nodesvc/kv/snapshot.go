package kv

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"github.com/cockroachdb/pebble/v2"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc"
)

// A slot's state as it goes from node to node: what the store has of it, in its order.
//
//	"stead-kv" | form u8 | clock u64 | first u64 | next u64 |
//	{length u32 | key from its part on | length u32 | value} … | 0 u32 | number of records u64
const (
	snapshotMagic = "stead-kv"
	snapshotForm  = 2
	// storedKeyMax is the longest key behind the slot: part, hash, length, sharding key, name.
	storedKeyMax   = 1 + 8 + 2 + KeyLengthMax + NameLengthMax
	storedValueMax = entryHeadSize + ContentTypeLengthMax + ValueSizeMax
)

// View holds on to the slot's state as it is now.
func (s *store) View(slot api.Slot) (_ nodesvc.View, err error) {
	defer s.contain(&err)
	if err := s.Err(); err != nil {
		return nil, err
	}
	return &view{store: s, slot: slot, state: s.db.NewSnapshot()}, nil
}

// Snapshot writes the slot's state.
func (s *store) Snapshot(slot api.Slot, w io.Writer) error {
	now, err := s.View(slot)
	if err != nil {
		return err
	}
	_, err = now.WriteTo(w)
	return errors.Join(err, now.Close())
}

// view is the state of a slot at one moment.
type view struct {
	store *store
	slot  api.Slot
	state *pebble.Snapshot
}

func (v *view) Close() error { return v.state.Close() }

// WriteTo writes the state; it can be done again, with the same octets.
func (v *view) WriteTo(w io.Writer) (written int64, err error) {
	defer v.store.contain(&err)
	from, to := slotRange(v.slot)
	records, err := v.state.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return 0, v.store.lost("read slot", err)
	}
	counted := &counter{to: w}
	out := bufio.NewWriterSize(counted, 64<<10)
	err = v.write(out, records)
	if failed := errors.Join(records.Error(), records.Close()); failed != nil {
		return counted.octets, v.store.lost("read slot", failed)
	}
	if err == nil {
		err = out.Flush()
	}
	return counted.octets, err
}

func (v *view) write(out *bufio.Writer, records *pebble.Iterator) error {
	var h head
	more := records.First()
	if more && bytes.Equal(records.Key(), headKey(v.slot)) {
		var err error
		if h, err = readHead(records.Value()); err != nil {
			return v.store.lost("read slot", err)
		}
		more = records.Next()
	}
	_, _ = out.WriteString(snapshotMagic) // errors stay with out until Flush
	front := []byte{snapshotForm}
	for _, number := range []uint64{h.clock, h.first, h.next} {
		front = binary.BigEndian.AppendUint64(front, number)
	}
	_, _ = out.Write(front)
	count := uint64(0)
	for ; more; more = records.Next() {
		key, value := records.Key()[slotPrefixSize:], records.Value()
		_, _ = out.Write(binary.BigEndian.AppendUint32(nil, uint32(len(key))))
		_, _ = out.Write(key)
		_, _ = out.Write(binary.BigEndian.AppendUint32(nil, uint32(len(value))))
		if _, err := out.Write(value); err != nil {
			return err
		}
		count++
	}
	_, err := out.Write(binary.BigEndian.AppendUint64([]byte{0, 0, 0, 0}, count))
	return err
}

// counter counts what is written through it.
type counter struct {
	to     io.Writer
	octets int64
}

func (c *counter) Write(octets []byte) (int, error) {
	n, err := c.to.Write(octets)
	c.octets += int64(n)
	return n, err
}
