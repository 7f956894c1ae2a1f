package consensus

import (
	"fmt"
	"io"
	"sync/atomic"

	"github.com/hashicorp/raft"
	boltdb "github.com/hashicorp/raft-boltdb/v2"
)

// logStore is the log on disk, brought in line with each snapshot that another member sends.
//
// Raft leaves a follower's own entries in place when it installs a snapshot. Where they differ from the
// leader's at the snapshot's index, what follows the snapshot never matches, and the leader sends the
// snapshot again, for ever (hashicorp/raft issue 697). Declaring the store monotonic does not help: the
// entries go, and Raft still believes in the last of them. So what the snapshot covers is dropped here,
// and asked for the entry at the snapshot's index the store answers with the snapshot's term. Whatever
// the follower had beyond is then found to conflict, and is replaced in Raft's ordinary way.
type logStore struct {
	*raft.LogCache
	base atomic.Pointer[position] // of the last snapshot that the log had to be brought in line with
}

// position is a place in the log.
type position struct{ index, term uint64 }

// cachedEntries is how many of the newest entries are kept in memory: what is sent to the other members.
const cachedEntries = 256

func newLogStore(store *boltdb.BoltStore) (*logStore, error) {
	cache, err := raft.NewLogCache(cachedEntries, store)
	if err != nil {
		return nil, fmt.Errorf("cannot cache the Raft log: %w", err)
	}
	return &logStore{LogCache: cache}, nil
}

// GetLog implements raft.LogStore.
func (s *logStore) GetLog(index uint64, log *raft.Log) error {
	if base := s.base.Load(); base != nil && base.index == index {
		*log = raft.Log{Index: base.index, Term: base.term, Type: raft.LogNoop}
		return nil
	}
	return s.LogCache.GetLog(index, log)
}

// align drops what a snapshot covers, unless the log has the very entry that it ends with.
func (s *logStore) align(snapshot position) error {
	var last raft.Log
	if err := s.GetLog(snapshot.index, &last); err == nil && last.Term == snapshot.term {
		return nil
	}
	first, err := s.FirstIndex()
	if err == nil && first != 0 && first <= snapshot.index {
		err = s.DeleteRange(first, snapshot.index)
	}
	if err != nil {
		return fmt.Errorf("cannot drop the log before a snapshot at %d: %w", snapshot.index, err)
	}
	s.base.Store(&snapshot)
	return nil
}

// snapshotStore has the log follow each snapshot that is written, and tells of the configurations in
// those that are opened: what a snapshot holds is committed, and a member that starts from one never
// sees the log entry.
type snapshotStore struct {
	raft.SnapshotStore
	align      func(position) error
	configured func(index uint64, servers raft.Configuration)
}

// Create implements raft.SnapshotStore.
func (s *snapshotStore) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration, configurationIndex uint64, transport raft.Transport) (raft.SnapshotSink, error) {
	sink, err := s.SnapshotStore.Create(version, index, term, configuration, configurationIndex, transport)
	if err != nil {
		return nil, err
	}
	return &aligningSink{SnapshotSink: sink, align: s.align, at: position{index, term}}, nil
}

// Open implements raft.SnapshotStore.
func (s *snapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	meta, source, err := s.SnapshotStore.Open(id)
	if err == nil {
		s.configured(meta.ConfigurationIndex, meta.Configuration)
	}
	return meta, source, err
}

// aligningSink has the log follow once the snapshot is safe on disk, and before Raft builds on it.
type aligningSink struct {
	raft.SnapshotSink
	align func(position) error
	at    position
}

// Close implements raft.SnapshotSink.
func (s *aligningSink) Close() error {
	if err := s.SnapshotSink.Close(); err != nil {
		return err
	}
	return s.align(s.at)
}
