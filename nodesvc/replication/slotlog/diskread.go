package slotlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
)

// load reads of each slot its meta, its first record and its last one.
func (d *disk) load() (found map[api.Slot]Loaded, counted map[api.Slot]counts, err error) {
	defer d.contain(&err)
	found, counted = map[api.Slot]Loaded{}, map[api.Slot]counts{}
	if err := d.loadMeta(found); err != nil {
		return nil, nil, fmt.Errorf("cannot read log: %w", err)
	}
	if err := d.loadEnds(found, counted); err != nil {
		return nil, nil, fmt.Errorf("cannot read log: %w", err)
	}
	return found, counted, nil
}

func (d *disk) loadMeta(found map[api.Slot]Loaded) error {
	return d.iterate([]byte{metaKeys}, []byte{endOfKeys}, func(records *pebble.Iterator) error {
		for valid := records.First(); valid; valid = records.Next() {
			meta, err := readMeta(records.Value())
			if key := records.Key(); err != nil || len(key) != metaKeySize {
				return fmt.Errorf("entry %x: %w", key, errMalformed)
			}
			slot := api.Slot(binary.BigEndian.Uint16(records.Key()[1:]))
			found[slot] = Loaded{Meta: meta, First: meta.Base + 1, Last: meta.Base, Tip: meta.Digest}
		}
		return nil
	})
}

// loadEnds skips from the last record of a slot to the first of the next one.
func (d *disk) loadEnds(found map[api.Slot]Loaded, counted map[api.Slot]counts) error {
	return d.iterate([]byte{recordKeys}, []byte{metaKeys}, func(records *pebble.Iterator) error {
		for valid := records.First(); valid; valid = records.Next() {
			slot, first, firstTotal, err := readAt(records)
			if err != nil {
				return err
			}
			firstSize := uint64(len(first.Record))
			if !records.SeekLT(recordKey(slot, math.MaxUint64)) {
				return fmt.Errorf("the end of slot %d: %w", slot, errMalformed)
			}
			_, last, total, err := readAt(records)
			if err != nil {
				return err
			}
			loaded := found[slot]
			loaded.First, loaded.Last, loaded.Tip = first.Seq, last.Seq, last.Digest
			found[slot] = loaded
			// What a truncation took away was estimated: the count may have gone back since.
			counted[slot] = counts{before: firstTotal - min(firstTotal, firstSize), total: max(firstTotal, total)}
		}
		return nil
	})
}

// readAt reads the record an iterator stands at; its octets are the iterator's.
func readAt(records *pebble.Iterator) (slot api.Slot, entry Entry, total uint64, err error) {
	slot, seq, errKey := readRecordKey(records.Key())
	value, errValue := records.ValueAndErr()
	if err := errors.Join(errKey, errValue); err != nil {
		return 0, Entry{}, 0, fmt.Errorf("entry %x: %w", records.Key(), err)
	}
	if entry, total, err = readRecord(seq, value); err != nil {
		return 0, Entry{}, 0, fmt.Errorf("entry %x: %w", records.Key(), err)
	}
	return slot, entry, total, nil
}

func (d *disk) read(slot api.Slot, from, last ownership.Seq, sizeMax int) (entries []Entry, err error) {
	defer d.contain(&err)
	size := 0
	err = d.iterate(recordKey(slot, from), recordKey(slot, last+1), func(records *pebble.Iterator) error {
		for valid := records.First(); valid; valid = records.Next() {
			_, entry, _, err := readAt(records)
			if err != nil {
				return err
			}
			next := from + ownership.Seq(len(entries))
			if size += len(entry.Record); entry.Seq != next || len(entries) > 0 && size > sizeMax {
				return nil
			}
			entry.Record = bytes.Clone(entry.Record)
			entries = append(entries, entry)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read log of slot %d: %w", slot, err)
	}
	return entries, nil
}

func (d *disk) iterate(from, to []byte, visit func(*pebble.Iterator) error) error {
	records, err := d.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return err
	}
	err = visit(records)
	return errors.Join(err, records.Error(), records.Close())
}
