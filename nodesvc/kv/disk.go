package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// storeLayout is the layout of the records on disk that this version reads and writes.
const storeLayout = "1"

// largeValues live in files of their own kind: within a table they would be read along with their
// small neighbours, and copied at every compaction.
var largeValues = pebble.ValueSeparationPolicy{
	Enabled:               true,
	MinimumSize:           16 << 10, // bytes
	MaxBlobReferenceDepth: 10,
	RewriteMinimumAge:     15 * time.Minute,
	TargetGarbageRatio:    0.2,
}

// Sizes of the engine's buffers, in bytes.
const (
	memtableSize = 16 << 20
	cacheSize    = 64 << 20
	bloomBits    = 10 // per key; one read in a hundred for a missing entry goes to disk
)

var (
	// ErrLayout says that a folder was written by a version of Stead with another layout.
	ErrLayout = errors.New("the store has a layout that this version of Stead does not know")

	layoutKey = append([]byte{ownRecords}, "layout"...)
	probeKey  = append([]byte{ownRecords}, "probe"...)
)

// disk is the store on Pebble: a log-structured merge tree whose write-ahead log is synced for every
// write before it returns; writes that come together share one sync.
//
// It does not survive a failed write or sync: the kernel may have dropped the pages, so what the
// engine holds in memory is no longer what is on disk. From then on every call fails, and the process
// is to end and recover from what is there.
type disk struct {
	*failure
	db *pebble.DB
}

// openDisk opens or makes the store in a folder; fs is the machine's own unless a test brings one.
func openDisk(path string, fs vfs.FS, logger *slog.Logger) (*disk, error) {
	d := &disk{failure: newFailure()}
	db, err := pebble.Open(path, d.options(fs, logger))
	if err != nil {
		return nil, fmt.Errorf("cannot open store %s: %w", path, err)
	}
	d.db = db
	if err := d.claim(); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open store %s: %w", path, err), db.Close())
	}
	return d, nil
}

func (d *disk) options(fs vfs.FS, logger *slog.Logger) *pebble.Options {
	options := &pebble.Options{
		FS:                 fs,
		FormatMajorVersion: pebble.FormatValueSeparation,
		MemTableSize:       memtableSize,
		CacheSize:          cacheSize,
		Logger:             engineLog{logger: logger, failure: d.failure},
		EventListener: &pebble.EventListener{BackgroundError: func(err error) {
			d.set(fmt.Errorf("cannot write store: %w", err))
		}},
	}
	for i := range options.Levels {
		options.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBits)
	}
	options.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy { return largeValues }
	return options
}

// claim marks a new store with the layout, and refuses one of another.
func (d *disk) claim() error {
	found, closer, err := d.db.Get(layoutKey)
	if err == nil {
		defer closer.Close()
		if string(found) != storeLayout {
			return fmt.Errorf("%w: %q, not %q", ErrLayout, found, storeLayout)
		}
		return nil
	}
	if !errors.Is(err, pebble.ErrNotFound) {
		return err
	}
	empty, err := d.empty()
	if err != nil {
		return err
	}
	if !empty {
		return fmt.Errorf("%w: it names none", ErrLayout)
	}
	return d.db.Set(layoutKey, []byte(storeLayout), pebble.Sync)
}

func (d *disk) empty() (bool, error) {
	records, err := d.db.NewIter(nil)
	if err != nil {
		return false, err
	}
	empty := !records.First()
	return empty, errors.Join(records.Error(), records.Close())
}

func (d *disk) Get(at Place) (entry Entry, err error) {
	err = d.read(at, func(found Entry) {
		entry = found
		entry.Value = bytes.Clone(found.Value)
	})
	return entry, err
}

func (d *disk) VersionAt(at Place) (version Version, err error) {
	err = d.read(at, func(found Entry) { version = found.Version })
	return version, err
}

// read hands the entry to take; its value is the engine's and ends with the call.
func (d *disk) read(at Place, take func(Entry)) (err error) {
	defer d.contain(&err)
	if err := d.Err(); err != nil {
		return err
	}
	raw, closer, err := d.db.Get(appendPlace(nil, at))
	if errors.Is(err, pebble.ErrNotFound) {
		return ErrAbsent
	}
	if err != nil {
		return d.lost(fmt.Errorf("cannot read entry: %w", err))
	}
	defer closer.Close()
	entry, err := readEntry(raw)
	if err != nil {
		return d.lost(fmt.Errorf("cannot read entry: %w", err))
	}
	take(entry)
	return nil
}

func (d *disk) Put(at Place, entry Entry) error {
	return d.write(func(batch *pebble.Batch) error {
		key, head := appendPlace(nil, at), appendEntryHead(nil, entry)
		slot := batch.SetDeferred(len(key), len(head)+len(entry.Value))
		copy(slot.Key, key)
		copy(slot.Value[copy(slot.Value, head):], entry.Value)
		return slot.Finish()
	})
}

func (d *disk) Delete(at Place) error {
	return d.write(func(batch *pebble.Batch) error { return batch.Delete(appendPlace(nil, at), nil) })
}

func (d *disk) Probe(context.Context) error {
	return d.write(func(batch *pebble.Batch) error { return batch.Set(probeKey, nil, nil) })
}

// write commits what fill puts in a batch, and returns when it is on disk. The engine reports some
// failures to its log alone, so the log is asked before a write counts.
func (d *disk) write(fill func(*pebble.Batch) error) (err error) {
	defer d.contain(&err)
	if err := d.Err(); err != nil {
		return err
	}
	batch := d.db.NewBatch()
	err = fill(batch)
	if err == nil {
		err = batch.Commit(pebble.Sync)
	}
	if err != nil {
		return d.lost(fmt.Errorf("cannot write entry: %w", err))
	}
	if err := d.Err(); err != nil {
		return err
	}
	return batch.Close()
}

func (d *disk) lost(err error) error {
	d.set(err)
	return err
}

// contain turns a panic of the engine, which is how it reports some failed writes, into the end of
// the store: http.Server would swallow it and go on serving.
func (d *disk) contain(err *error) {
	if cause := recover(); cause != nil {
		*err = d.lost(fmt.Errorf("cannot use store: %v", cause))
	}
}

// Close leaves a failed store as it is: whoever opens it next recovers what was acknowledged.
func (d *disk) Close() error {
	if d.Err() != nil {
		return nil
	}
	if err := d.db.Close(); err != nil {
		return fmt.Errorf("cannot close store: %w", err)
	}
	return nil
}

// engineLog is where Pebble logs; what it calls fatal ends the store.
type engineLog struct {
	logger  *slog.Logger
	failure *failure
}

func (l engineLog) Infof(format string, args ...any) {
	l.logger.Debug("store engine", "message", fmt.Sprintf(format, args...))
}

func (l engineLog) Errorf(format string, args ...any) {
	l.logger.Error("store engine", "message", fmt.Sprintf(format, args...))
}

func (l engineLog) Fatalf(format string, args ...any) {
	l.failure.set(fmt.Errorf("cannot go on with store: "+format, args...))
}
