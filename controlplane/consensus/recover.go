package consensus

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/hashicorp/raft"
	boltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/stead-io/stead/api"
)

// Log is what a member's folder holds, as far as it can be told without starting it.
type Log struct {
	LastIndex, LastTerm uint64
	SnapshotIndex       uint64
	Servers             []Server
}

// recovery is a member's folder opened without a running Raft.
type recovery struct {
	conf      *raft.Config
	logs      *boltdb.BoltStore
	snapshots raft.SnapshotStore
	transport raft.Transport
}

func openRecovery(id api.MemberID, dataDir string, logger *slog.Logger) (*recovery, error) {
	store, err := openStore(dataDir)
	if err != nil {
		return nil, err
	}
	adapted := newRaftLogger(logger)
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dataDir, snapshotsKept, adapted)
	if err != nil {
		_ = store.Close()
		return nil, fmt.Errorf("cannot open snapshots in %s: %w", dataDir, err)
	}
	_, transport := raft.NewInmemTransport(raft.ServerAddress(id))
	conf := raft.DefaultConfig()
	conf.LocalID, conf.Logger = raft.ServerID(id), adapted
	return &recovery{conf, store, snapshots, transport}, nil
}

func (o *recovery) close() error { return o.logs.Close() }

// Inspect reads what a folder holds. Nothing is changed; no member may have the folder open.
func Inspect(id api.MemberID, dataDir string, logger *slog.Logger) (log Log, err error) {
	defer recoverDamage(&err)
	folder, err := openRecovery(id, dataDir, logger)
	if err != nil {
		return Log{}, err
	}
	defer func() { err = errors.Join(err, folder.close()) }()
	return folder.inspect()
}

func (o *recovery) inspect() (Log, error) {
	var found Log
	kept, err := o.snapshots.List()
	if err != nil {
		return found, fmt.Errorf("cannot list snapshots: %w", err)
	}
	var servers raft.Configuration
	if len(kept) > 0 {
		newest := kept[0]
		servers, found.SnapshotIndex = newest.Configuration, newest.Index
		found.LastIndex, found.LastTerm = newest.Index, newest.Term
	}
	last, err := o.logs.LastIndex()
	if err != nil {
		return found, fmt.Errorf("cannot read the log: %w", err)
	}
	first, err := o.logs.FirstIndex()
	if err != nil {
		return found, fmt.Errorf("cannot read the log: %w", err)
	}
	for index := max(first, found.SnapshotIndex+1); index <= last && last > 0; index++ {
		var entry raft.Log
		if err := o.logs.GetLog(index, &entry); err != nil {
			return found, fmt.Errorf("cannot read log entry %d: %w", index, err)
		}
		found.LastIndex, found.LastTerm = entry.Index, entry.Term
		if entry.Type == raft.LogConfiguration {
			servers = raft.DecodeConfiguration(entry.Data)
		}
	}
	for _, server := range servers.Servers {
		found.Servers = append(found.Servers, Server{ID: api.MemberID(server.ID), Voter: server.Suffrage == raft.Voter})
	}
	return found, nil
}

// Recover makes the member of a folder the only one of its cluster: every entry of its log counts as
// committed, and what machine gives as its snapshot after them is the state it will start with. No
// member may have the folder open.
func Recover(id api.MemberID, dataDir string, machine Machine, logger *slog.Logger) (err error) {
	defer recoverDamage(&err)
	folder, err := openRecovery(id, dataDir, logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, folder.close()) }()
	adapter := &machineAdapter{machine, func(uint64, raft.Configuration) {}}
	err = raft.RecoverCluster(folder.conf, adapter, folder.logs, folder.logs, folder.snapshots,
		folder.transport, founding([]api.MemberID{id}))
	if err != nil {
		return fmt.Errorf("cannot recover: %w", err)
	}
	return nil
}
