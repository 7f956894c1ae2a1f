package peers

import (
	"errors"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
)

// TestRecoveredElsewhere: only a member of the same cluster, in a higher generation, without this one in
// it, ends this one.
func TestRecoveredElsewhere(t *testing.T) {
	const own, other = api.MemberID("c2-0000000000000002"), api.MemberID("c1-0000000000000001")
	f := func(cluster api.ClusterID, self, told api.PeerInfo, ends bool) {
		t.Helper()
		info := api.PeerInfo{ID: own, Name: "c2", API: "http://127.0.0.1:2", Raft: "127.0.0.1:2"}
		directory := OpenDirectory(t.TempDir(), info, func(is *api.PeerInfo) {
			is.Cluster, is.Generation, is.Members = cluster, self.Generation, self.Members
		})
		told.ID, told.Name, told.API, told.Raft = other, "c1", "http://127.0.0.1:1", "127.0.0.1:1"
		err := directory.Merge(api.Peers{Self: told}, time.Now())
		if errors.Is(err, ErrRecovered) != ends {
			t.Errorf("%+v told by %+v: %v", self, told, err)
		}
	}
	both, alone := []api.MemberID{other, own}, []api.MemberID{other}
	old := api.PeerInfo{Generation: 1, Members: both}
	f("a", old, api.PeerInfo{Cluster: "a", Generation: 2, Members: alone}, true)
	f("", old, api.PeerInfo{Cluster: "a", Generation: 2, Members: alone}, true)                                                         // its log is not applied yet
	f("a", api.PeerInfo{Generation: 1, Members: []api.MemberID{own}}, api.PeerInfo{Cluster: "b", Generation: 2, Members: alone}, false) // a stranger
	f("a", old, api.PeerInfo{Cluster: "a", Generation: 2, Members: both}, false)                                                        // a restore on its way here
	f("a", old, api.PeerInfo{Cluster: "a", Generation: 1, Members: alone}, false)                                                       // removed, as it will learn
	f("a", old, api.PeerInfo{Cluster: "a", Generation: 2}, false)                                                                       // it says nothing of members
	f("a", api.PeerInfo{Generation: 3, Members: alone}, api.PeerInfo{Cluster: "a", Generation: 2, Members: both}, false)
}
