package consensus

import (
	"time"

	"github.com/hashicorp/raft"
)

// quietTime is how long a member may go without a message in a pipeline, so that one that is broken is found out.
const quietTime = 50 * time.Millisecond

// quietTransport keeps messages from other members that tell them nothing: with a short commitTimeout Raft sends each
// of them more than a hundred a second while nothing happens. Heartbeats go another way.
type quietTransport struct{ *raft.NetworkTransport }

// AppendEntriesPipeline implements raft.Transport.
func (t quietTransport) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	pipeline, err := t.NetworkTransport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err
	}
	return &quietPipeline{AppendPipeline: pipeline}, nil
}

// quietPipeline has one user, as every pipeline has.
type quietPipeline struct {
	raft.AppendPipeline
	commit uint64 // as the other member knows it
	sent   time.Time
}

// AppendEntries sends entries, and news of what is committed. Anything else it drops, as a network may drop any message:
// nobody waits for the future of a request without entries.
func (p *quietPipeline) AppendEntries(request *raft.AppendEntriesRequest, response *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	now := time.Now()
	if len(request.Entries) == 0 && request.LeaderCommitIndex == p.commit && now.Sub(p.sent) < quietTime {
		return nil, nil
	}
	p.commit, p.sent = request.LeaderCommitIndex, now
	return p.AppendPipeline.AppendEntries(request, response)
}
