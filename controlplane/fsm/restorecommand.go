package fsm

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"time"

	"github.com/stead-io/stead/api"
)

// RestoreMax bounds the snapshot in a Restore, packed: a log entry must reach the others within one
// round of Raft.
const RestoreMax = 64 << 20

// Restore replaces the state by what a snapshot holds, in a new generation (see State.Reborn). It is a
// command like any other, so that all members restore at the same index or none does.
type Restore struct {
	Snapshot []byte `json:"snapshot"` // as State.Encode writes it, gzipped
	Force    bool   `json:"force"`    // also over another cluster
}

func (Restore) commandType() CommandType { return TypeRestore }

// RestoreOf is the command that restores a state. What a restore leaves behind is left out: versions,
// and whatever belongs to the control plane itself.
func RestoreOf(from *State, force bool) (Restore, error) {
	lean := *from
	lean.versions, lean.history = tail[*versionRecord]{}, 0
	lean.results, lean.deliveries = tail[*keyedResult]{}, nil
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	if err := lean.Encode(writer); err != nil {
		return Restore{}, err
	}
	if err := writer.Close(); err != nil {
		return Restore{}, fmt.Errorf("cannot pack the snapshot: %w", err)
	}
	if packed.Len() > RestoreMax {
		return Restore{}, api.NewProblem(api.CodeTooLarge, "the snapshot has %d bytes, packed; %d can be restored", packed.Len(), RestoreMax)
	}
	return Restore{Snapshot: packed.Bytes(), Force: force}, nil
}

func (r Restore) state() (*State, error) {
	reader, err := gzip.NewReader(bytes.NewReader(r.Snapshot))
	if err != nil {
		return nil, fmt.Errorf("cannot unpack the snapshot: %w", err)
	}
	return DecodeState(reader)
}

// CheckRestore refuses a snapshot that this cluster should not become.
func (s *State) CheckRestore(from *State, force bool) *api.Problem {
	switch {
	case from.Cluster == "":
		return api.NewProblem(api.CodeSnapshotDamaged, "it is a state before any cluster")
	case s.Level < 2:
		return api.NewProblem(api.CodeUnsupported, "the cluster stands at level %d, a restore needs 2", s.Level).
			WithNext("once every member runs this version: stead cluster set level=2")
	case from.Level > s.Level:
		return api.NewProblem(api.CodeUnsupported, "the snapshot is of level %d, the cluster stands at %d", from.Level, s.Level).
			WithNext("run a version that supports it, then: stead cluster set level=%d", from.Level)
	case from.Cluster != s.Cluster && !s.Fresh() && !force:
		return api.NewProblem(api.CodeWrongCluster, "the snapshot is of cluster %s, this is %s and not a fresh one", from.Cluster, s.Cluster).
			WithNext("restore it into a new cluster, or add --force to make this one that")
	}
	return nil
}

func (d *draft) restore(command Restore) *api.Problem {
	from, err := command.state()
	if err != nil {
		return api.NewProblem(api.CodeSnapshotDamaged, "%v", err)
	}
	if problem := d.before.CheckRestore(from, command.Force); problem != nil {
		return problem
	}
	d.cause = "restore"
	d.rebirth(from, Rebirth{
		Kind:   "restore",
		Detail: fmt.Sprintf("from a snapshot of ring %s, %s", from.Version(), from.Time().Format(time.RFC3339)),
	})
	var encoded bytes.Buffer
	if err = d.finish().Encode(&encoded); err == nil {
		_, err = DecodeState(&encoded) // else no member could start from a snapshot of it
	}
	if err != nil {
		return api.NewProblem(api.CodeSnapshotDamaged, "what it leads to is no state: %v", err)
	}
	d.result.Note = fmt.Sprintf("restored in generation %d; %d slots wait until the nodes have reported what they hold",
		d.state.Generation, d.state.Recovering())
	return nil
}
