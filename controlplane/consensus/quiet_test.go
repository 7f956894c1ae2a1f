package consensus

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// recorder is a pipeline that notes what goes through it.
type recorder struct {
	raft.AppendPipeline
	sent []raft.AppendEntriesRequest
}

func (r *recorder) AppendEntries(request *raft.AppendEntriesRequest, _ *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	r.sent = append(r.sent, *request)
	return nil, nil
}

// What a pipeline carries is what was sent, less what told nobody anything.
func TestQuietPipeline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := &recorder{}
		pipeline := &quietPipeline{AppendPipeline: sent}
		send := func(commit uint64, entries ...*raft.Log) {
			if _, err := pipeline.AppendEntries(&raft.AppendEntriesRequest{LeaderCommitIndex: commit, Entries: entries}, nil); err != nil {
				t.Fatal(err)
			}
		}
		entry := &raft.Log{Index: 8}
		send(7) // a pipeline's first says what is committed
		send(7)
		send(7, entry)
		send(7)
		send(8) // the entry is committed
		send(8)
		time.Sleep(quietTime)
		send(8) // the member is to notice a connection that is gone
		send(8)
		var got []uint64
		for _, request := range sent.sent {
			got = append(got, request.LeaderCommitIndex, uint64(len(request.Entries)))
		}
		if want := []uint64{7, 0, 7, 1, 8, 0, 8, 0}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}
