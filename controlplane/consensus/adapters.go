package consensus

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// machineAdapter shows a Machine to Raft.
type machineAdapter struct {
	machine    Machine
	configured func(index uint64, servers raft.Configuration) // hears of committed configurations
}

func (a *machineAdapter) Apply(log *raft.Log) any { return a.machine.Apply(log.Index, log.Data) }

func (a *machineAdapter) Snapshot() (raft.FSMSnapshot, error) {
	return snapshotWriter(a.machine.Snapshot()), nil
}

func (a *machineAdapter) Restore(source io.ReadCloser) error {
	defer source.Close()
	return a.machine.Restore(source)
}

// StoreConfiguration implements raft.ConfigurationStore.
func (a *machineAdapter) StoreConfiguration(index uint64, servers raft.Configuration) {
	a.configured(index, servers)
}

type snapshotWriter func(io.Writer) error

func (write snapshotWriter) Persist(sink raft.SnapshotSink) error {
	if err := write(sink); err != nil {
		_ = sink.Cancel()
		return err
	}
	return sink.Close()
}

func (snapshotWriter) Release() {}

// raftLogger passes Raft's log lines on to slog.
type raftLogger struct {
	hclog.InterceptLogger
	sink *slogSink
}

func newRaftLogger(logger *slog.Logger) *raftLogger {
	intercept := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Level: hclog.Debug, Output: io.Discard})
	sink := &slogSink{logger: logger}
	intercept.RegisterSink(sink)
	return &raftLogger{intercept, sink}
}

type slogSink struct {
	logger *slog.Logger
	// stopping: connections break off now because this member breaks them off.
	stopping atomic.Bool
}

// Accept implements hclog.SinkAdapter. Raft's info lines are about its own mechanics: debug here.
func (s *slogSink) Accept(name string, level hclog.Level, message string, fields ...any) {
	if s.stopping.Load() {
		level = hclog.Debug
	}
	s.logger.Log(context.Background(), slogLevel(level), message, append([]any{"from", name}, fields...)...)
}

func slogLevel(level hclog.Level) slog.Level {
	switch {
	case level >= hclog.Error:
		return slog.LevelWarn // Raft retries by itself; nothing it reports is the end
	case level == hclog.Warn:
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}
