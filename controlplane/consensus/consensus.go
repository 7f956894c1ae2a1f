// Package consensus replicates the control plane's commands with Raft. It is the only package that
// imports hashicorp/raft: nobody else knows terms, futures or log stores.
//
// It owns the log and snapshots on disk, the member-to-member transport, and leadership; it does not
// know what a command means. Members are known by id alone. Addresses are looked up at each dial, so
// members that come back elsewhere are found again, and each connection names the member it is for,
// so that an address taken over by another member can never answer in its stead.
package consensus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	boltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"

	"github.com/stead-io/stead/api"
)

// Raft's timers. A write reaches every member within about commitTimeout; a lost leader is replaced
// within about three elections.
const (
	heartbeatTimeout   = 300 * time.Millisecond
	electionTimeout    = 300 * time.Millisecond
	leaderLeaseTimeout = 300 * time.Millisecond
	commitTimeout      = 5 * time.Millisecond

	transportTimeout = 5 * time.Second
	transportPool    = 3
	enqueueTimeout   = 2 * time.Second
	transferTimeout  = 2 * time.Second
	shutdownTimeout  = 5 * time.Second
	snapshotsKept    = 2
	dbLockTimeout    = time.Second
)

// Errors of proposals and reads.
var (
	// ErrNotLeader: this member does not lead; nothing was proposed.
	ErrNotLeader = errors.New("this member is not the leader")
	// ErrAmbiguous: leadership was lost while the command was on its way; it may yet be applied.
	ErrAmbiguous = errors.New("leadership was lost before the outcome was known")
	// ErrClosed: the replica has stopped.
	ErrClosed = errors.New("the replica has stopped")
)

// Machine is the replicated state machine. Apply and the call that Snapshot makes are never
// concurrent; the function Snapshot returns runs beside later Applies, so it must hold a value that
// no longer changes.
type Machine interface {
	Apply(index uint64, entry []byte) any
	Snapshot() func(io.Writer) error
	Restore(io.Reader) error
}

// Config says who this replica is and how it reaches the others.
type Config struct {
	ID       api.MemberID
	DataDir  string       // raft.db and snapshots/
	Listener net.Listener // for other members; owned and closed by the replica
	// Dial connects to a member at an address; Resolve finds its present one.
	Dial    func(ctx context.Context, id api.MemberID, address string) (net.Conn, error)
	Resolve func(api.MemberID) (address string, err error)
	Machine Machine
	// SnapshotInterval is how often the log is looked at; past SnapshotThreshold entries since the last
	// snapshot a new one is made, and all but TrailingLogs entries are dropped. A member further behind
	// than those gets the snapshot.
	SnapshotInterval  time.Duration
	SnapshotThreshold uint64
	TrailingLogs      uint64
	Logger            *slog.Logger
}

// Replica is one member's Raft.
type Replica struct {
	id        api.MemberID
	raft      *raft.Raft
	store     *boltdb.BoltStore
	transport quietTransport
	conf      *raft.Config
	logger    *raftLogger
	logs      raft.LogStore
	snapshots raft.SnapshotStore
	// configuration is the last one known to be committed.
	configuration atomic.Pointer[Configuration]
	// barrierTerm is the last term in which this member led and had applied all earlier ones' entries.
	barrierTerm atomic.Uint64

	closeOnce sync.Once
	closeErr  error
}

const databaseName = "raft.db"

// ErrDamaged means that the log on disk cannot be read.
var ErrDamaged = errors.New("the Raft log is damaged")

// HasDatabase reports whether the data folder has a log's file, whatever is in it.
func HasDatabase(dataDir string) bool {
	_, err := os.Stat(filepath.Join(dataDir, databaseName))
	return err == nil
}

// HasState reports whether a data folder holds a log with entries, or a snapshot. A file that is there
// and empty is no log.
func HasState(dataDir string, logger *slog.Logger) (has bool, err error) {
	if !HasDatabase(dataDir) {
		return false, nil
	}
	defer recoverDamage(&err)
	store, err := openStore(dataDir)
	if err != nil {
		return false, err
	}
	defer store.Close()
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dataDir, snapshotsKept, newRaftLogger(logger))
	if err != nil {
		return false, fmt.Errorf("cannot open snapshots in %s: %w", dataDir, err)
	}
	return raft.HasExistingState(store, store, snapshots)
}

// recoverDamage turns the panic with which the database meets a damaged page into an error.
func recoverDamage(err *error) {
	if cause := recover(); cause != nil {
		*err = fmt.Errorf("%w: %v", ErrDamaged, cause)
	}
}

// Open starts the replica from its data folder. With servers given and no state in the folder it
// bootstraps: all founding members must be given the same servers.
func Open(config Config, founders []api.MemberID) (_ *Replica, err error) {
	defer recoverDamage(&err)
	store, err := openStore(config.DataDir)
	if err != nil {
		return nil, err
	}
	logger := newRaftLogger(config.Logger)
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(config.DataDir, snapshotsKept, logger)
	if err != nil {
		_ = store.Close()
		return nil, fmt.Errorf("cannot open snapshots in %s: %w", config.DataDir, err)
	}
	transport := quietTransport{raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		ServerAddressProvider:   resolver(config.Resolve),
		Logger:                  logger,
		Stream:                  newStreamLayer(config),
		MaxPool:                 transportPool,
		Timeout:                 transportTimeout,
		MsgpackUseNewTimeFormat: true,
	})}
	logs, err := newLogStore(store)
	if err != nil {
		_ = transport.Close()
		_ = store.Close()
		return nil, err
	}
	replica := &Replica{
		id: config.ID, logger: logger, store: store, transport: transport,
		logs: logs,
		conf: raftConfig(config, logger),
	}
	replica.snapshots = &snapshotStore{snapshots, logs.align, replica.noteConfiguration}
	if err := replica.start(config.Machine, founders); err != nil {
		_ = transport.Close()
		_ = store.Close()
		return nil, err
	}
	return replica, nil
}

func openStore(dataDir string) (*boltdb.BoltStore, error) {
	path := filepath.Join(dataDir, databaseName)
	store, err := boltdb.New(boltdb.Options{
		Path: path,
		// The free list is rebuilt on open instead of written with each commit: half the append time.
		BoltOptions:             &bbolt.Options{NoFreelistSync: true, Timeout: dbLockTimeout},
		MsgpackUseNewTimeFormat: true,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot open the Raft log %s (is another process using it?): %w", path, err)
	}
	return store, nil
}

func raftConfig(config Config, logger *raftLogger) *raft.Config {
	conf := raft.DefaultConfig()
	conf.LocalID = raft.ServerID(config.ID)
	conf.HeartbeatTimeout = heartbeatTimeout
	conf.ElectionTimeout = electionTimeout
	conf.LeaderLeaseTimeout = leaderLeaseTimeout
	conf.CommitTimeout = commitTimeout
	conf.SnapshotInterval = config.SnapshotInterval
	conf.SnapshotThreshold = config.SnapshotThreshold
	conf.TrailingLogs = config.TrailingLogs
	conf.NoLegacyTelemetry = true
	conf.Logger = logger
	return conf
}

func (r *Replica) start(machine Machine, founders []api.MemberID) error {
	if len(founders) > 0 {
		err := raft.BootstrapCluster(r.conf, r.logs, r.store, r.snapshots, r.transport, founding(founders))
		if err != nil && !errors.Is(err, raft.ErrCantBootstrap) {
			return fmt.Errorf("cannot bootstrap: %w", err)
		}
	}
	var err error
	r.raft, err = raft.NewRaft(r.conf, &machineAdapter{machine, r.noteConfiguration}, r.logs, r.store, r.snapshots, r.transport)
	if err != nil {
		return fmt.Errorf("cannot start Raft: %w", err)
	}
	return nil
}

// founding is the first configuration. A server's address is its id: see resolver.
func founding(members []api.MemberID) raft.Configuration {
	var configuration raft.Configuration
	for _, id := range members {
		configuration.Servers = append(configuration.Servers, raft.Server{
			Suffrage: raft.Voter, ID: raft.ServerID(id), Address: raft.ServerAddress(id),
		})
	}
	return configuration
}

// Propose replicates an entry and returns what the machine answered. The outcome is known exactly
// unless the error is ErrAmbiguous.
func (r *Replica) Propose(entry []byte) (result any, err error) {
	future := r.raft.Apply(entry, enqueueTimeout)
	if err := future.Error(); err != nil {
		return nil, translateWrite(err)
	}
	return future.Response(), nil
}

// Barrier waits until everything committed before this term is applied here. The leader calls it once
// when elected; Linearize refuses until it has.
func (r *Replica) Barrier() error {
	term := r.raft.CurrentTerm()
	if err := translate(r.raft.Barrier(enqueueTimeout).Error()); err != nil {
		return err
	}
	r.barrierTerm.Store(term)
	return nil
}

// Linearize waits until the local state holds everything that was committed when it was called.
func (r *Replica) Linearize(ctx context.Context, wait func(ctx context.Context, index uint64) error) error {
	term, index := r.raft.CurrentTerm(), r.raft.CommitIndex()
	if r.raft.State() != raft.Leader || r.barrierTerm.Load() != term {
		return ErrNotLeader
	}
	if err := translate(r.raft.VerifyLeader().Error()); err != nil {
		return err
	}
	if r.raft.CurrentTerm() != term {
		return ErrNotLeader
	}
	return wait(ctx, index)
}

// translateWrite is translate for a proposal. A log that cannot be written, for a full disk perhaps, may
// hold the entry all the same when it is read again.
func translateWrite(err error) error {
	known := translate(err)
	if errors.Is(known, ErrNotLeader) || errors.Is(known, ErrAmbiguous) || errors.Is(known, ErrClosed) {
		return known
	}
	return ErrAmbiguous
}

func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrLeadershipLost):
		return ErrAmbiguous
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress), errors.Is(err, raft.ErrEnqueueTimeout):
		return ErrNotLeader
	case errors.Is(err, raft.ErrRaftShutdown):
		return ErrClosed
	default:
		return fmt.Errorf("cannot replicate: %w", err)
	}
}

// Leader is the member believed to lead, "" if none is known.
func (r *Replica) Leader() api.MemberID {
	_, id := r.raft.LeaderWithID()
	return api.MemberID(id)
}

// IsLeader reports whether this member leads.
func (r *Replica) IsLeader() bool { return r.raft.State() == raft.Leader }

// Leadership receives true when this member wins leadership and false when it loses it; a reader
// that is late sees the latest only.
func (r *Replica) Leadership() <-chan bool { return r.raft.LeaderCh() }

// SinceContact is how long ago this member heard from a leader; zero on the leader itself.
func (r *Replica) SinceContact(now time.Time) time.Duration {
	if r.IsLeader() {
		return 0
	}
	contact := r.raft.LastContact()
	if contact.IsZero() {
		return time.Duration(1<<63 - 1)
	}
	return now.Sub(contact)
}

// Term is the current term.
func (r *Replica) Term() uint64 { return r.raft.CurrentTerm() }

// AppliedIndex is the index of the last entry handed to the machine.
func (r *Replica) AppliedIndex() uint64 { return r.raft.AppliedIndex() }

// TransferLeadership hands leadership to a member, or to the best follower if to is empty.
func (r *Replica) TransferLeadership(to api.MemberID) error {
	if !r.IsLeader() {
		return ErrNotLeader
	}
	var future raft.Future
	if to == "" {
		future = r.raft.LeadershipTransfer()
	} else {
		future = r.raft.LeadershipTransferToServer(raft.ServerID(to), raft.ServerAddress(to))
	}
	done := make(chan error, 1)
	go func() { done <- future.Error() }()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("cannot transfer leadership: %w", err)
		}
		return nil
	case <-time.After(transferTimeout):
		return errors.New("cannot transfer leadership: the other member did not take over in time")
	}
}

// Close gives leadership away if it is held and someone can take it, then stops.
func (r *Replica) Close() error {
	r.closeOnce.Do(func() {
		if servers, err := r.Servers(); err == nil && len(servers) > 1 && r.IsLeader() {
			_ = r.TransferLeadership("") // best effort: an election does it otherwise
		}
		r.logger.sink.stopping.Store(true)
		r.closeErr = errors.Join(r.shutDown(), r.transport.Close(), r.store.Close())
	})
	return r.closeErr
}

// shutDown ends Raft's goroutines. One of them can be stuck for good: raft 1.8.0 leaves a replication that
// pipelines entries to a member of a higher term waiting for answers that nobody reads any more.
func (r *Replica) shutDown() error {
	done := make(chan error, 1)
	go func() { done <- r.raft.Shutdown().Error() }()
	select {
	case err := <-done:
		return err
	case <-time.After(shutdownTimeout):
		return errors.New("raft did not end in time; what it had acknowledged is on the disk")
	}
}
