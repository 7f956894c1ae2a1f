package controlplane

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/controlplane/fsm"
)

// Restore replaces the state of the whole cluster by what a snapshot holds, in a new generation. It is
// one entry of the log: what was acknowledged before it is replaced, what comes after builds on it.
func (m *Member) Restore(ctx context.Context, actor string, from *fsm.State, force bool) (api.Changed, error) {
	if err := m.Linearize(ctx); err != nil {
		return api.Changed{}, err
	}
	if problem := m.State().CheckRestore(from, force); problem != nil { // a refusal needs no large entry
		return api.Changed{}, problem
	}
	command, err := fsm.RestoreOf(from, force)
	if err != nil {
		return api.Changed{}, err
	}
	result, err := m.Propose(ctx, fsm.By(actor), command)
	if err != nil {
		return api.Changed{}, err
	}
	m.logger.Warn("state restored from a snapshot", "actor", actor, "version", result.Version, "from", from.Version())
	return api.Changed{Change: result.Change, Version: result.Version, Note: result.Note}, nil
}

// ReadSnapshot reads a snapshot whole, verifies it, and says what it holds.
func ReadSnapshot(source io.Reader) (api.SnapshotFacts, error) {
	size, sum := &counter{}, sha256.New()
	state, err := fsm.DecodeState(io.TeeReader(source, io.MultiWriter(size, afterLine{to: sum, begun: new(bool)})))
	if err != nil {
		return api.SnapshotFacts{}, err
	}
	facts := api.SnapshotFacts{
		Cluster: state.Cluster, Version: state.Version(), Index: state.Index, Level: state.Level,
		Time: state.Time(), Settings: state.Settings, Nodes: len(state.Nodes()), Slots: state.SlotCount(),
		Recovering: state.Recovering(), Change: state.NewestChange(),
		Bytes: size.bytes, Digest: hex.EncodeToString(sum.Sum(nil)),
	}
	facts.Settings.HashKey = ""
	if oldest := state.OldestChange(); oldest != 0 {
		facts.Changes = int(facts.Change-oldest) + 1
	}
	for slot := range state.SlotCount() {
		if held := state.Slot(ring.Slot(slot)); held.Primary == ring.NoNode && !held.Recovering() {
			facts.Unassigned++
		}
	}
	return facts, nil
}

// counter counts what is written to it.
type counter struct{ bytes int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.bytes += int64(len(p))
	return len(p), nil
}

// afterLine passes on what follows the first line.
type afterLine struct {
	to    io.Writer
	begun *bool
}

func (a afterLine) Write(p []byte) (int, error) {
	rest := p
	if !*a.begun {
		_, rest, *a.begun = bytes.Cut(p, []byte("\n"))
	}
	_, err := a.to.Write(rest)
	return len(p), err
}
