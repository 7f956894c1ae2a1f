package controlplane

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/durable"
	"github.com/stead-io/stead/controlplane/consensus"
	"github.com/stead-io/stead/controlplane/fsm"
	"github.com/stead-io/stead/controlplane/peers"
)

// recoveredName is the note that a recovery leaves in the data folder.
const recoveredName = "recovered.json"

// RecoverConfig says which member's folder goes on alone.
type RecoverConfig struct {
	DataDir string
	Name    string // of the member; must be the folder's
	Actor   string // who asks, for history
	DryRun  bool   // only look
	Logger  *slog.Logger
}

// Recovered is what a recovery found and did.
type Recovered struct {
	Time      time.Time      `json:"time"`
	Member    api.MemberID   `json:"member"`
	Members   []api.MemberID `json:"previous_members"`
	LastIndex uint64         `json:"last_index"`
	LastTerm  uint64         `json:"last_term"`
	Cluster   api.ClusterID  `json:"cluster,omitempty"`
	From      api.Version    `json:"from"`
	To        api.Version    `json:"to"`
	Waiting   int            `json:"slots_recovering"`
}

// Recover makes one member the only one of its cluster, when the majority is lost for good. The member
// must not run. Entries that no majority ever confirmed count as committed; the others of the old
// cluster must never run again. The state begins a new generation in the same step.
func Recover(config RecoverConfig) (done Recovered, err error) {
	if !peers.HasIdentity(config.DataDir) || !consensus.HasDatabase(config.DataDir) {
		return done, fmt.Errorf("cannot recover: %s is no folder of a member that has taken part", config.DataDir)
	}
	lock, err := durable.LockFolder(config.DataDir)
	if err != nil {
		return done, fmt.Errorf("cannot recover: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	identity, err := peers.ReadIdentity(config.DataDir, config.Name)
	if err != nil {
		return done, err
	}
	has, err := consensus.HasState(config.DataDir, config.Logger)
	if err != nil {
		return done, err
	}
	if !has {
		return done, fmt.Errorf("cannot recover: %s holds no log", config.DataDir)
	}
	log, err := consensus.Inspect(identity.ID(), config.DataDir, config.Logger)
	if err != nil {
		return done, err
	}
	done = Recovered{Time: time.Now().UTC(), Member: identity.ID(), LastIndex: log.LastIndex, LastTerm: log.LastTerm}
	for _, server := range log.Servers {
		done.Members = append(done.Members, server.ID)
	}
	if config.DryRun {
		return done, nil
	}
	err = recoverAlone(config, identity, &done)
	return done, err
}

func recoverAlone(config RecoverConfig, identity *peers.Identity, done *Recovered) error {
	machine := &rebirthMachine{machine: newMachine(func(error) {}), how: fsm.Rebirth{
		Kind: "recover", Actor: config.Actor, Time: done.Time, Level: fsm.LevelSupported,
		Detail:  fmt.Sprintf("member %s goes on alone from log index %d of term %d", config.Name, done.LastIndex, done.LastTerm),
		Members: []fsm.Member{{ID: identity.ID(), Name: config.Name}},
	}}
	if err := consensus.Recover(identity.ID(), config.DataDir, machine, config.Logger); err != nil {
		return errors.Join(err, machine.broken)
	}
	was, is := machine.state.Load(), machine.reborn
	done.Cluster, done.From, done.To, done.Waiting = is.Cluster, was.Version(), is.Version(), is.Recovering()
	note, err := json.MarshalIndent(done, "", "\t")
	if err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(config.DataDir, recoveredName), append(note, '\n')); err != nil {
		return fmt.Errorf("recovered, but cannot leave a note of it: %w", err)
	}
	return nil
}

// rebirthMachine is a machine whose snapshot is its state in a new generation.
type rebirthMachine struct {
	*machine
	how    fsm.Rebirth
	reborn *fsm.State
}

// Snapshot implements consensus.Machine.
func (m *rebirthMachine) Snapshot() func(io.Writer) error {
	state := m.state.Load()
	switch {
	case m.broken != nil:
		return m.machine.Snapshot()
	case state.Cluster == "":
		return func(io.Writer) error { return errors.New("its log holds no cluster") }
	}
	m.reborn = state.Reborn(state, m.how)
	return m.reborn.Encode
}
