package kv

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
)

// restoreBatch is how many bytes are written to the store at once, but for what one value exceeds it by.
const restoreBatch = 1 << 20

var errSnapshot = errors.New("not the state of a slot, or not all of it")

// Restore is RestoreAt of a state that no records precede.
func (s *store) Restore(slot api.Slot, r io.Reader) error { return s.RestoreAt(slot, 0, r) }

// RestoreAt replaces the slot's state by one that Snapshot wrote. Whatever keeps it from being read to its end
// leaves the slot empty, a crash too.
func (s *store) RestoreAt(slot api.Slot, seq ownership.Seq, r io.Reader) (err error) {
	defer s.contain(&err)
	err = s.write(pebble.NoSync, func(batch *pebble.Batch) error {
		return errors.Join(erase(batch, slot), batch.Set(headKey(slot), head{restoring: true}.append(nil), nil))
	})
	if err != nil {
		return err
	}
	h, err := s.readIn(slot, bufio.NewReaderSize(r, 64<<10))
	if err != nil {
		return errors.Join(fmt.Errorf("cannot restore slot %d: %w", slot, err), s.Drop(slot))
	}
	h.applied = seq
	return s.write(s.durably, func(batch *pebble.Batch) error { return batch.Set(headKey(slot), h.append(nil), nil) })
}

// Check reads a state to its end, to nowhere.
func (s *store) Check(slot api.Slot, r io.Reader) error {
	state, _, err := readState(slot, bufio.NewReaderSize(r, 64<<10))
	for err == nil {
		var key []byte
		if key, _, err = state.next(); err == nil && key == nil {
			return nil
		}
	}
	return err
}

// readIn writes the records of a state to the store, in batches.
func (s *store) readIn(slot api.Slot, in *bufio.Reader) (head, error) {
	state, h, err := readState(slot, in)
	if err != nil {
		return head{}, err
	}
	batch := s.db.NewBatch()
	for {
		key, value, err := state.next()
		if err != nil {
			return head{}, errors.Join(err, batch.Close())
		}
		if key == nil {
			return h, s.commit(batch, pebble.NoSync, nil)
		}
		err = batch.Set(key, value, nil)
		if err == nil && batch.Len() < restoreBatch {
			continue
		}
		if err := s.commit(batch, pebble.NoSync, err); err != nil {
			return head{}, err
		}
		batch = s.db.NewBatch()
	}
}

// state is what a snapshot holds, read record by record.
type state struct {
	in    *bufio.Reader
	last  []byte // the key read last, with its slot
	count uint64
}

func readState(slot api.Slot, in *bufio.Reader) (*state, head, error) {
	front := make([]byte, len(snapshotMagic)+1+3*8)
	if _, err := io.ReadFull(in, front); err != nil {
		return nil, head{}, fmt.Errorf("%w: %w", errSnapshot, err)
	}
	magic, numbers := front[:len(snapshotMagic)+1], front[len(snapshotMagic)+1:]
	if string(magic) != snapshotMagic+string(rune(snapshotForm)) {
		return nil, head{}, errSnapshot
	}
	number := func(i int) uint64 { return binary.BigEndian.Uint64(numbers[8*i:]) }
	h := head{clock: number(0), first: number(1), next: number(2)}
	if h.first > h.next {
		return nil, head{}, errSnapshot
	}
	return &state{in: in, last: headKey(slot)}, h, nil
}

// next reads a record; the key is nil behind the last one.
func (s *state) next() (key, value []byte, err error) {
	part, err := s.take(storedKeyMax)
	if err != nil {
		return nil, nil, err
	}
	if len(part) == 0 {
		return nil, nil, s.end()
	}
	if value, err = s.take(storedValueMax); err != nil {
		return nil, nil, err
	}
	key = append(s.last[:slotPrefixSize:slotPrefixSize], part...)
	if part[0] > partLine || bytes.Compare(key, s.last) <= 0 {
		return nil, nil, errSnapshot
	}
	s.last = key
	s.count++
	return key, value, nil
}

func (s *state) end() error {
	var count [8]byte
	if _, err := io.ReadFull(s.in, count[:]); err != nil || binary.BigEndian.Uint64(count[:]) != s.count {
		return errors.Join(errSnapshot, err)
	}
	if _, err := s.in.ReadByte(); !errors.Is(err, io.EOF) {
		return errors.Join(errSnapshot, err)
	}
	return nil
}

// take reads what has its length before it.
func (s *state) take(limit uint32) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(s.in, length[:]); err != nil || binary.BigEndian.Uint32(length[:]) > limit {
		return nil, errors.Join(errSnapshot, err)
	}
	octets := make([]byte, binary.BigEndian.Uint32(length[:]))
	if _, err := io.ReadFull(s.in, octets); err != nil {
		return nil, errors.Join(errSnapshot, err)
	}
	return octets, nil
}
