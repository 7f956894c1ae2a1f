package controlplane

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/controlplane/fsm"
)

// Restore replaces the state of the whole cluster by what a snapshot holds, in a new generation.
// Nothing else is proposed meanwhile, so nothing that was acknowledged falls between the two.
func (m *Member) Restore(_ context.Context, actor string, from *fsm.State, force bool) (api.Changed, error) {
	m.turn.Lock()
	defer m.turn.Unlock()
	replica := m.replica.Load()
	if replica == nil {
		return api.Changed{}, noLeader()
	}
	if err := replica.Barrier(); err != nil {
		return api.Changed{}, asProblem(err)
	}
	term, present := replica.Term(), m.State()
	if problem := checkRestore(present, from, force); problem != nil {
		return api.Changed{}, problem
	}
	next := present.Reborn(from, fsm.Rebirth{
		Kind: "restore", Actor: actor, Time: time.Now(),
		Detail: fmt.Sprintf("from a snapshot of ring %s, %s", from.Version(), from.Time().Format(time.RFC3339)),
	})
	var encoded bytes.Buffer
	if err := next.Encode(&encoded); err != nil {
		return api.Changed{}, err
	}
	if _, err := fsm.DecodeState(bytes.NewReader(encoded.Bytes())); err != nil { // Raft would end every member by it
		return api.Changed{}, api.NewProblem(api.CodeSnapshotDamaged, "what it leads to is no state: %v", err)
	}
	if replica.Term() != term {
		return api.Changed{}, noLeader()
	}
	if err := replica.Restore(&encoded, int64(encoded.Len())); err != nil {
		return api.Changed{}, asProblem(err)
	}
	m.logger.Warn("state restored from a snapshot", "actor", actor, "version", next.Version(), "from", from.Version(), "recovering", next.Recovering())
	return api.Changed{
		Change: next.NewestChange(), Version: next.Version(),
		Note: fmt.Sprintf("restored in generation %d; %d slots wait until the nodes have reported what they hold", next.Generation, next.Recovering()),
	}, nil
}

// checkRestore refuses a snapshot that this cluster should not become.
func checkRestore(present, from *fsm.State, force bool) *api.Problem {
	switch {
	case from.Cluster == "":
		return api.NewProblem(api.CodeSnapshotDamaged, "it is a state before any cluster")
	case present.Level < 2:
		return api.NewProblem(api.CodeUnsupported, "the cluster stands at level %d, a restore needs 2", present.Level).
			WithNext("once every member runs this version: stead cluster set level=%d", fsm.LevelSupported)
	case from.Level > present.Level:
		return api.NewProblem(api.CodeUnsupported, "the snapshot is of level %d, the cluster stands at %d", from.Level, present.Level).
			WithNext("run a version that supports it, then: stead cluster set level=%d", from.Level)
	case from.Cluster != present.Cluster && !present.Fresh() && !force:
		return api.NewProblem(api.CodeWrongCluster, "the snapshot is of cluster %s, this is %s and not a fresh one", from.Cluster, present.Cluster).
			WithNext("restore it into a new cluster, or add --force to make this one that")
	}
	return nil
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
