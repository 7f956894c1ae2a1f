package api

import "time"

// SnapshotFacts is what a snapshot holds, as `stead snapshot inspect` shows it. The hash key, which is
// a secret of the cluster, is never part of it.
type SnapshotFacts struct {
	Cluster    ClusterID `json:"cluster"`
	Version    Version   `json:"version"`
	Index      uint64    `json:"index"` // log index
	Level      int       `json:"level"`
	Time       time.Time `json:"time"` // the state's clock
	Settings   Settings  `json:"settings"`
	Nodes      int       `json:"nodes"`
	Slots      int       `json:"slots"`
	Unassigned int       `json:"unassigned"`
	Recovering int       `json:"recovering"`
	Changes    int       `json:"changes"` // kept
	Change     ChangeID  `json:"change"`  // newest
	Bytes      int64     `json:"bytes"`
	Digest     string    `json:"digest"` // SHA-256 of what follows the header
}

// SnapshotSchedule is how saving snapshots goes on one member.
type SnapshotSchedule struct {
	On       bool
	Saved    time.Time // the last one; zero: none yet
	Failures uint64
	Trouble  string // why the last one failed, "" if it did not
}
