package kv

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/durable"
)

// storeLayout is the layout of the records on disk that this version reads and writes; storeLayoutAlone the
// one from before state was replicated, without slots.
const (
	storeLayout      = "2"
	storeLayoutAlone = "1"
)

// largeValues live in files of their own kind: within a table they would be read along with their
// small neighbours, and copied at every compaction.
var largeValues = pebble.ValueSeparationPolicy{
	Enabled:               true,
	MinimumSize:           16 << 10, // bytes
	MaxBlobReferenceDepth: 10,
	RewriteMinimumAge:     15 * time.Minute,
	TargetGarbageRatio:    0.2,
}

// Sizes of the engine's buffers, in bytes. What is in memory anyway needs no cache to speak of.
const (
	memtableSize    = 16 << 20
	cacheSize       = 64 << 20
	cacheSizeMemory = 8 << 20
	bloomBits       = 10 // per key; one read in a hundred for a missing entry goes to disk
)

var (
	// ErrLayout says that a folder was written by a version of Stead with another layout.
	ErrLayout = errors.New("the store has a layout that this version of Stead does not know")
	// ErrNotReplicated says that a folder was written before values were kept with their slots.
	ErrNotReplicated = errors.New("the folder holds values from before slots were replicated, which this version of Stead cannot read; " +
		"run the version that wrote it to copy the values out, and start this one with an empty --data-dir")

	layoutKey = append([]byte{ownRecords}, "layout"...)
	probeKey  = append([]byte{ownRecords}, "probe"...)
)

// openDisk opens or makes the store in a folder; fs is the machine's own unless a test brings one.
func openDisk(path string, fs vfs.FS, logger *slog.Logger) (*store, error) {
	if err := fs.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make store %s: %w", path, err)
	}
	lock, err := pebble.LockDirectory(path, fs)
	if err != nil {
		return nil, fmt.Errorf("cannot open store %s: %w: %w", path, durable.ErrLocked, err)
	}
	s := &store{failure: newFailure(), lock: lock, durably: pebble.Sync}
	options := s.options(fs, logger)
	options.Lock = lock
	if err := s.open(path, options); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return s, nil
}

// openMemory makes a store that is gone with its process.
func openMemory(logger *slog.Logger) (*store, error) {
	s := &store{failure: newFailure(), durably: pebble.NoSync}
	options := s.options(vfs.NewMem(), logger)
	options.DisableWAL, options.CacheSize = true, cacheSizeMemory
	if err := s.open("", options); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *store) open(path string, options *pebble.Options) error {
	db, err := pebble.Open(path, options)
	if err != nil {
		return fmt.Errorf("cannot open store %s: %w", path, err)
	}
	s.db = db
	if err := errors.Join(s.claim(), s.eraseUnfinished()); err != nil {
		return errors.Join(fmt.Errorf("cannot open store %s: %w", path, err), db.Close())
	}
	return nil
}

func (s *store) options(fs vfs.FS, logger *slog.Logger) *pebble.Options {
	options := &pebble.Options{
		FS:                 fs,
		FormatMajorVersion: pebble.FormatValueSeparation,
		MemTableSize:       memtableSize,
		CacheSize:          cacheSize,
		Logger:             engineLog{logger: logger, failure: s.failure},
		EventListener: &pebble.EventListener{BackgroundError: func(err error) {
			s.set(fmt.Errorf("cannot write store: %w", err))
		}},
	}
	for i := range options.Levels {
		options.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBits)
	}
	options.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy { return largeValues }
	return options
}

// claim marks a new store with the layout, and refuses one of another.
func (s *store) claim() error {
	found, closer, err := s.db.Get(layoutKey)
	if err == nil {
		defer closer.Close()
		switch string(found) {
		case storeLayout:
			return nil
		case storeLayoutAlone:
			return ErrNotReplicated
		default:
			return fmt.Errorf("%w: %q, not %q", ErrLayout, found, storeLayout)
		}
	}
	if !errors.Is(err, pebble.ErrNotFound) {
		return err
	}
	empty, err := s.empty()
	if err != nil {
		return err
	}
	if !empty {
		return fmt.Errorf("%w: it names none", ErrLayout)
	}
	return s.db.Set(layoutKey, []byte(storeLayout), s.durably)
}

func (s *store) empty() (bool, error) {
	records, err := s.db.NewIter(nil)
	if err != nil {
		return false, err
	}
	empty := !records.First()
	return empty, errors.Join(records.Error(), records.Close())
}

// eraseUnfinished removes the slots whose state was being read in when the process ended.
func (s *store) eraseUnfinished() error {
	records, err := s.db.NewIter(nil)
	if err != nil {
		return err
	}
	var unfinished []api.Slot
	for slot := range 1 << 16 {
		from := headKey(api.Slot(slot))
		if !records.SeekGE(from) {
			break
		}
		if string(records.Key()) != string(from) {
			continue
		}
		h, err := readHead(records.Value())
		if err != nil {
			return errors.Join(err, records.Close())
		}
		if h.restoring {
			unfinished = append(unfinished, api.Slot(slot))
		}
	}
	for _, slot := range unfinished {
		err = errors.Join(err, s.Drop(slot))
	}
	return errors.Join(err, records.Error(), records.Close())
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
