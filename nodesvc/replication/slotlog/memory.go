package slotlog

import (
	"bytes"
	"io"
	"slices"
	"sync"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
)

// memory keeps logs in the process: what it acknowledges outlives nothing.
type memory struct {
	mu    sync.RWMutex
	slots map[api.Slot]*memoryLog
}

type memoryLog struct {
	meta    Meta
	entries []Entry
}

type memoryStore struct{ *front }

// NewMemory returns an empty store that ends with the process.
func NewMemory() Store {
	return memoryStore{newFront(&memory{slots: map[api.Slot]*memoryLog{}}, 0, newFailure())}
}

func (m *memory) load() (map[api.Slot]Loaded, map[api.Slot]counts, error) { return nil, nil, nil }

func (m *memory) commit(writes []*write) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range writes {
		log := m.slots[w.slot]
		if log == nil {
			log = &memoryLog{}
			m.slots[w.slot] = log
		}
		log.remove(w.from, w.to)
		log.entries = append(log.entries, w.entries...)
		if w.meta != nil {
			log.meta = *w.meta
		}
	}
	return nil
}

// remove takes the records of [from, to) off the log's start or end.
func (l *memoryLog) remove(from, to ownership.Seq) {
	low, high := l.find(from), l.find(to)
	if low > 0 || high == len(l.entries) {
		clear(l.entries[low:])
		l.entries = l.entries[:low]
		if low == 0 {
			l.entries = nil
		}
		return
	}
	clear(l.entries[:high])
	l.entries = l.entries[high:]
}

// find is the index of a record, or where it would be.
func (l *memoryLog) find(seq ownership.Seq) int {
	if len(l.entries) == 0 || seq <= l.entries[0].Seq {
		return 0
	}
	return int(min(seq-l.entries[0].Seq, ownership.Seq(len(l.entries))))
}

func (m *memory) read(slot api.Slot, from, last ownership.Seq, sizeMax int) ([]Entry, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	log := m.slots[slot]
	if log == nil || len(log.entries) == 0 || from < log.entries[0].Seq {
		return nil, nil
	}
	entries := log.entries[log.find(from):log.find(last+1)]
	size := 0
	for i := range entries {
		if size += len(entries[i].Record); i > 0 && size > sizeMax {
			entries = entries[:i]
			break
		}
	}
	return slices.Clone(entries), nil
}

func (m *memory) close() error { return nil }

func (memoryStore) SaveState(api.Slot, ownership.Seq, uint64, func(io.Writer) error) error {
	return nil
}

func (memoryStore) State(api.Slot) (ownership.Seq, uint64, io.ReadCloser, error) {
	return 0, 0, nil, io.EOF
}

func (memoryStore) DropState(api.Slot) error { return nil }

func (memoryStore) Free() (left, all uint64, err error) { return 0, 0, nil }

func (memoryStore) Spool() (Spool, error) { return new(memorySpool), nil }

// memorySpool keeps octets in the slices that they came in, so that growing copies nothing.
type memorySpool struct {
	parts [][]byte
	size  int64
}

func (s *memorySpool) Write(p []byte) (int, error) {
	s.parts = append(s.parts, bytes.Clone(p))
	s.size += int64(len(p))
	return len(p), nil
}

func (s *memorySpool) Reader() (io.ReadCloser, error) {
	readers := make([]io.Reader, len(s.parts))
	for i, part := range s.parts {
		readers[i] = bytes.NewReader(part)
	}
	return io.NopCloser(io.MultiReader(readers...)), nil
}

func (s *memorySpool) Size() int64 { return s.size }

func (s *memorySpool) Close() error {
	s.parts = nil
	return nil
}
