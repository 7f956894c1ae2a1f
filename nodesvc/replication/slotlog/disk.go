package slotlog

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stead-io/stead/api"
)

// Folders within the store's.
const (
	logFolder   = "log"
	stateFolder = "state"
	spoolFolder = "spool"
)

// Sizes of the engine's buffers, in bytes. What is read is mostly what was just written, which is in a
// memtable still: there is little to cache.
const (
	memtableSize = 16 << 20
	memtablesMax = 3
	cacheSize    = 8 << 20
)

// largeRecords live in files of their own kind, so that compactions do not copy them again and again.
var largeRecords = pebble.ValueSeparationPolicy{
	Enabled:               true,
	MinimumSize:           4 << 10, // bytes
	MaxBlobReferenceDepth: 10,
	RewriteMinimumAge:     time.Minute,
	TargetGarbageRatio:    0.3,
}

// ErrLayout says that a folder was written by a version of Stead with another layout.
var ErrLayout = errors.New("the log has a layout that this version of Stead does not know")

// DiskOptions says what a store on disk works with.
type DiskOptions struct {
	FS     vfs.FS       // nil: the machine's own; tests bring one that crashes and fails
	Logger *slog.Logger // nil: nobody hears
}

// disk is the backend on Pebble: a log-structured merge tree whose write-ahead log is synced once for
// whatever is committed together.
//
// It does not survive a failed write or sync: the kernel may have dropped the pages, so what the engine holds
// in memory is no longer what is on disk.
type disk struct {
	*failure
	db *pebble.DB
}

type diskStore struct {
	*front
	*folder
}

// OpenDisk opens or makes the store in a folder, which this process has to itself from then on.
func OpenDisk(path string, options DiskOptions) (Store, error) {
	if options.FS == nil {
		options.FS = vfs.Default
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	files := &folder{fs: options.FS, path: path}
	failed := newFailure()
	back, err := openDisk(files.join(logFolder), options, failed)
	if err == nil {
		if err = files.prepare(); err != nil {
			err = errors.Join(err, back.close())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open log %s: %w", path, err)
	}
	return &diskStore{front: newFront(back, trimSize, failed), folder: files}, nil
}

func openDisk(path string, options DiskOptions, failed *failure) (*disk, error) {
	if err := options.FS.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	db, err := pebble.Open(path, engineOptions(options, failed))
	if err != nil {
		return nil, err
	}
	d := &disk{failure: failed, db: db}
	if err := d.claim(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return d, nil
}

func engineOptions(options DiskOptions, failed *failure) *pebble.Options {
	engine := &pebble.Options{
		FS:                          options.FS,
		FormatMajorVersion:          pebble.FormatValueSeparation,
		MemTableSize:                memtableSize,
		MemTableStopWritesThreshold: memtablesMax,
		CacheSize:                   cacheSize,
		Logger:                      engineLog{logger: options.Logger, failure: failed},
		EventListener: &pebble.EventListener{BackgroundError: func(err error) {
			failed.set(fmt.Errorf("cannot write log: %w", err))
		}},
	}
	engine.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy { return largeRecords }
	return engine
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
	records, err := d.db.NewIter(nil)
	if err != nil {
		return err
	}
	used := records.First()
	if err := errors.Join(records.Error(), records.Close()); err != nil {
		return err
	}
	if used {
		return fmt.Errorf("%w: it names none", ErrLayout)
	}
	return d.db.Set(layoutKey, []byte(storeLayout), pebble.Sync)
}

// commit puts all writes in one batch. Records are copied once, to where the engine keeps them.
func (d *disk) commit(writes []*write) (err error) {
	defer d.contain(&err)
	batch := d.db.NewBatchWithSize(batchSize(writes))
	wanted := pebble.NoSync
	for _, w := range writes {
		if !w.lazy {
			wanted = pebble.Sync
		}
		if err := put(batch, w); err != nil {
			return fmt.Errorf("cannot write log of slot %d: %w", w.slot, err)
		}
	}
	if err := batch.Commit(wanted); err != nil {
		return fmt.Errorf("cannot write log: %w", err)
	}
	return batch.Close()
}

func batchSize(writes []*write) int {
	size := 0
	for _, w := range writes {
		size += w.size()
	}
	return size
}

func put(batch *pebble.Batch, w *write) error {
	if w.from < w.to {
		if err := batch.DeleteRange(recordKey(w.slot, w.from), recordKey(w.slot, w.to), nil); err != nil {
			return err
		}
	}
	total := w.before
	for i := range w.entries {
		entry := &w.entries[i]
		total += uint64(len(entry.Record))
		if err := putEntry(batch, w.slot, entry, total); err != nil {
			return err
		}
	}
	if w.meta == nil {
		return nil
	}
	return batch.Set(metaKey(w.slot), appendMeta(nil, w.meta), nil)
}

func putEntry(batch *pebble.Batch, slot api.Slot, entry *Entry, total uint64) error {
	place := batch.SetDeferred(recordKeySize, recordHeadSize+len(entry.Record))
	copy(place.Key, recordKey(slot, entry.Seq))
	putRecord(place.Value, entry, total)
	return place.Finish()
}

// contain turns a panic of the engine, which is how it reports some failed writes, into the end of the store.
func (d *disk) contain(err *error) {
	if cause := recover(); cause != nil {
		*err = fmt.Errorf("cannot use log: %v", cause)
	}
}

func (d *disk) close() error {
	if err := d.db.Close(); err != nil {
		return fmt.Errorf("cannot close log: %w", err)
	}
	return nil
}

// Abandon ends what Close leaves as it is of a store on disk that failed. A process that ends with its store, as
// nodes do, has no use for it; one that goes on without the store has goroutines less.
func Abandon(store Store) error {
	if failed, onDisk := store.(*diskStore); onDisk {
		return failed.back.close()
	}
	return nil
}

// engineLog is where Pebble logs; what it calls fatal ends the store.
type engineLog struct {
	logger  *slog.Logger
	failure *failure
}

func (l engineLog) Infof(format string, args ...any) {
	l.logger.Debug("log engine", "message", fmt.Sprintf(format, args...))
}

func (l engineLog) Errorf(format string, args ...any) {
	l.logger.Error("log engine", "message", fmt.Sprintf(format, args...))
}

func (l engineLog) Fatalf(format string, args ...any) {
	l.failure.set(fmt.Errorf("cannot go on with log: "+format, args...))
}
