package main

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/nodesvc"
)

// A slot's state as it goes from node to node, ordered by key and number. Keys have at least one octet.
//
//	{length u16 | key | number u32 | page} … | 0 u16 | number of pages u64
var errSnapshot = errors.New("not the state of a slot, or not all of it")

// View holds on to the slot's databases as they are now: a read transaction of SQLite's.
func (s *store) View(slot api.Slot) (nodesvc.View, error) {
	tx, err := s.reader.BeginTx(context.Background(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("cannot view slot %d: %w", slot, err)
	}
	var first int64 // the transaction begins with its first look at the file
	if err := tx.QueryRow("SELECT count(*) FROM slots").Scan(&first); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot view slot %d: %w", slot, err), tx.Rollback())
	}
	return &view{tx: tx, slot: slot}, nil
}

// Snapshot writes the slot's databases.
func (s *store) Snapshot(slot api.Slot, w io.Writer) error {
	now, err := s.View(slot)
	if err != nil {
		return err
	}
	_, err = now.WriteTo(w)
	return errors.Join(err, now.Close())
}

type view struct {
	tx   *sql.Tx
	slot api.Slot
}

func (v *view) Close() error { return v.tx.Rollback() }

func (v *view) WriteTo(w io.Writer) (written int64, err error) {
	rows, err := v.tx.Query("SELECT key, number, content FROM pages WHERE slot = ? ORDER BY key, number", v.slot)
	if err != nil {
		return 0, fmt.Errorf("cannot read slot %d: %w", v.slot, err)
	}
	defer rows.Close()
	out := bufio.NewWriter(w)
	count := uint64(0)
	for ; rows.Next(); count++ {
		var key, content sql.RawBytes
		var number uint32
		if err := rows.Scan(&key, &number, &content); err != nil {
			return written, fmt.Errorf("cannot read slot %d: %w", v.slot, err)
		}
		front := append(binary.BigEndian.AppendUint16(nil, uint16(len(key))), key...)
		n, err := out.Write(append(binary.BigEndian.AppendUint32(front, number), content...))
		if written += int64(n); err != nil {
			return written, err
		}
	}
	if err := rows.Err(); err != nil {
		return written, fmt.Errorf("cannot read slot %d: %w", v.slot, err)
	}
	n, _ := out.Write(binary.BigEndian.AppendUint64([]byte{0, 0}, count))
	return written + int64(n), out.Flush()
}

// Restore is RestoreAt of a state that no records precede.
func (s *store) Restore(slot api.Slot, r io.Reader) error { return s.RestoreAt(slot, 0, r) }

// RestoreAt replaces the slot's databases, all in one transaction. If it fails the slot is empty.
func (s *store) RestoreAt(slot api.Slot, seq ownership.Seq, r io.Reader) error {
	in := bufio.NewReader(r)
	var unreadable error // the sender's fault, not the store's
	err := s.write("restore", func(tx *sql.Tx) error {
		if err := erase(tx, slot); err != nil {
			return err
		}
		for count := uint64(0); ; count++ {
			key, p, err := readPage(in, count)
			if err != nil {
				unreadable = err
				return erase(tx, slot)
			}
			if key == nil {
				return stamp(tx, slot, seq)
			}
			if err := insert(tx, slot, key, p); err != nil {
				return err
			}
		}
	})
	if err == nil {
		err = s.Sync()
	}
	if unreadable != nil {
		unreadable = fmt.Errorf("cannot restore slot %d: %w", slot, unreadable)
	}
	return errors.Join(err, unreadable)
}

// Check reads a state to its end and keeps nothing: what RestoreAt would refuse is known before it erases anything.
func (s *store) Check(_ api.Slot, r io.Reader) error {
	in := bufio.NewReader(r)
	for count := uint64(0); ; count++ {
		if key, _, err := readPage(in, count); key == nil || err != nil {
			return err
		}
	}
}

// readPage reads the next page of a state; behind the last, which is the count-th, the key is nil.
func readPage(in *bufio.Reader, count uint64) (key []byte, p page, err error) {
	take := func(octets int) []byte {
		taken := make([]byte, octets)
		if err == nil {
			_, err = io.ReadFull(in, taken)
		}
		return taken
	}
	length := binary.BigEndian.Uint16(take(2))
	if length == 0 {
		if got := binary.BigEndian.Uint64(take(8)); err != nil || got != count {
			return nil, p, errors.Join(errSnapshot, err)
		}
		if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
			return nil, p, errors.Join(errSnapshot, err)
		}
		return nil, p, nil
	}
	key = take(int(length))
	p.number = binary.BigEndian.Uint32(take(4))
	p.content = take(pageSize)
	if err != nil {
		return nil, p, errors.Join(errSnapshot, err)
	}
	return key, p, nil
}
