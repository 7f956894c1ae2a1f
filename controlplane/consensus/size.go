package consensus

import (
	"os"
	"path/filepath"
)

// CommitIndex is the index of the last entry that a majority holds, as far as this member knows.
func (r *Replica) CommitIndex() uint64 { return r.raft.CommitIndex() }

// LastIndex is the index of the last entry in this member's log.
func (r *Replica) LastIndex() uint64 { return r.raft.LastIndex() }

// DatabaseSize is how large the log's file in a data folder is, in bytes; 0 if there is none.
func DatabaseSize(dataDir string) int64 {
	info, err := os.Stat(filepath.Join(dataDir, databaseName))
	if err != nil {
		return 0
	}
	return info.Size()
}
