package api

// MemberStage says how far a member of the control plane has come.
type MemberStage string

const (
	// StageVoter: it votes; a majority of these makes every write.
	StageVoter MemberStage = "voter"
	// StageCatchingUp: it receives the log as a nonvoter, and votes once it is level with the leader.
	StageCatchingUp MemberStage = "catching_up"
	// StageAwaited: it is asked for, and no process of that name has come yet.
	StageAwaited MemberStage = "awaited"
	// StageLeaving: another member is to take its place, and has no vote yet.
	StageLeaving MemberStage = "leaving"
	// StageUnlisted: a process that waits to be asked for.
	StageUnlisted MemberStage = "unlisted"
)

// MemberList answers GET /v1/members.
type MemberList struct {
	Members []Member `json:"members"`
	Leader  MemberID `json:"leader,omitempty"`
	Term    uint64   `json:"term"`
	Applied uint64   `json:"applied"` // index of the last log entry applied by the member that answers
}

// MemberAdd is the body of POST /v1/members.
type MemberAdd struct {
	Name string `json:"name"`
	// Replaces is a member's name or id: it leaves once the new one votes. It may be the same name, when
	// that member's disk is lost.
	Replaces string `json:"replaces,omitempty"`
}
