package controlplane

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
)

// newcomer opens a member beside the founders, with a folder of its own.
func (c *cluster) newcomer(name, folder string, edit func(*Config)) *Member {
	c.t.Helper()
	config := c.config(0)
	config.Name, config.DataDir, config.Expect = name, folder, 0
	if edit != nil {
		edit(&config)
	}
	member, err := Open(config)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = member.Close(c.t.Context()) })
	return member
}

// listed asks the leader who is there.
func (c *cluster) listed() map[string]api.Member {
	leader := c.anyLeader()
	members := make(map[string]api.Member)
	if leader == nil {
		return members
	}
	for _, member := range leader.MemberList().Members {
		members[member.Name] = member
	}
	return members
}

// place finds a founder that leads, or one that does not.
func (c *cluster) place(leads bool) (found int) {
	c.t.Helper()
	c.await("a leader", func() bool {
		leader := c.leader()
		for i, member := range c.members {
			if leader != nil && (member == leader) == leads {
				found = i
				return true
			}
		}
		return false
	})
	return found
}

func (c *cluster) anyLeader() *Member {
	if leader := c.leader(); leader != nil {
		return leader
	}
	for _, member := range c.extra {
		if member.IsLeader() {
			return member
		}
	}
	return nil
}

// mustSay asks the leader, again if leadership was lost on the way, and compares the answer: by its key, a write
// that had been carried out is answered as it was then.
func (c *cluster) mustSay(status int, code api.Code, method, path string, body any) {
	c.t.Helper()
	var problem api.Problem
	var answer any
	if code != "" {
		answer = &problem
	}
	var headers []string
	if method == http.MethodPost {
		headers = []string{api.HeaderIdempotencyKey, rand.Text()}
	}
	got := 0
	c.await("a leader", func() bool {
		leader := c.anyLeader()
		if leader != nil {
			got = call(c.t, leader, method, path, body, answer, headers...)
		}
		return leader != nil && got != http.StatusServiceUnavailable
	})
	if got != status || problem.Code != code {
		c.t.Fatalf("%s %s %v: got %d %s %s, want %d %s", method, path, body, got, problem.Code, problem.Detail, status, code)
	}
}

func endsWith(t *testing.T, member *Member, code api.Code) {
	t.Helper()
	select {
	case <-member.Done():
	case <-time.After(patience):
		t.Fatalf("member %s goes on", member.config.Name)
	}
	if api.CodeOf(member.Err()) != code {
		t.Fatalf("member %s ended with %v, want %s", member.config.Name, member.Err(), code)
	}
}

// TestLeaderIsReplaced: a new member takes the leader's place. The old one ends by itself, its folder
// comes back no more, and its name is free for another folder.
func TestLeaderIsReplaced(t *testing.T) {
	c := newCluster(t)
	c.mustSay(http.StatusCreated, "", "POST", "/v1/nodes", registration("n1", 1))
	i := c.place(true)
	old := c.members[i]
	fourth := c.newcomer("c4", t.TempDir(), nil)
	c.extra = append(c.extra, fourth)
	c.mustSay(http.StatusAccepted, "", "POST", "/v1/members", api.MemberAdd{Name: "c4", Replaces: old.config.Name})
	endsWith(t, old, api.CodeNotAMember)
	c.await("the new member to vote", func() bool {
		members := c.listed()
		return len(members) == 3 && members["c4"].Stage == api.StageVoter && len(fourth.State().Enlisted) == 0
	})
	if fourth.State().Node("n1") == nil {
		t.Fatal("the new member lacks a registration")
	}
	config := c.config(i)
	c.stop(i)
	c.members[i] = c.reopen(config)
	endsWith(t, c.members[i], api.CodeNotAMember)
	c.stop(i)
	c.await("the name to be free", func() bool { return len(fourth.State().Members) == 3 })
	again := c.newcomer(config.Name, t.TempDir(), nil)
	c.extra = append(c.extra, again)
	c.mustSay(http.StatusAccepted, "", "POST", "/v1/members", api.MemberAdd{Name: config.Name})
	c.await("the name to vote again", func() bool {
		member := c.listed()[config.Name]
		return member.ID == again.ID() && member.Stage == api.StageVoter
	})
}

func (c *cluster) reopen(config Config) *Member {
	c.t.Helper()
	member, err := Open(config)
	if err != nil {
		c.t.Fatal(err)
	}
	return member
}

// TestWipedMemberIsReplaced: under its own name a wiped member comes in only when it was asked for,
// whether that came before its new start or after.
func TestWipedMemberIsReplaced(t *testing.T) {
	for _, order := range []string{"asked first", "started first"} {
		t.Run(order, func(t *testing.T) {
			c := newCluster(t)
			i := c.place(false)
			name := c.members[i].config.Name
			ask := api.MemberAdd{Name: name, Replaces: name}
			c.mustSay(http.StatusConflict, api.CodeMemberAlive, "POST", "/v1/members", ask)
			c.stop(i)
			if err := os.RemoveAll(c.config(i).DataDir); err != nil {
				t.Fatal(err)
			}
			if order == "started first" {
				endsWith(t, c.start(i), api.CodeMemberNameKnown)
				c.stop(i)
			}
			c.await("its silence", func() bool { return !c.listed()[name].Alive })
			c.mustSay(http.StatusConflict, api.CodeMemberNameKnown, "POST", "/v1/members", api.MemberAdd{Name: name})
			c.mustSay(http.StatusAccepted, "", "POST", "/v1/members", ask)
			c.mustSay(http.StatusAccepted, "", "POST", "/v1/members", ask) // once more: nothing new
			c.mustSay(http.StatusConflict, api.CodeMemberBusy, "POST", "/v1/members", api.MemberAdd{Name: "c9", Replaces: name})
			fresh := c.start(i)
			c.await("the new folder to vote", func() bool {
				leader := c.anyLeader()
				if leader == nil || len(leader.MemberList().Members) != 3 {
					return false
				}
				member := c.listed()[name]
				return member.ID == fresh.ID() && member.Stage == api.StageVoter
			})
			c.await("the name to be the new folder's", func() bool {
				for _, known := range c.members[(i+1)%3].State().Members {
					if known.Name == name {
						return known.ID == fresh.ID()
					}
				}
				return false
			})
		})
	}
}

// TestRemovalKeepsAMajority: what would leave the members without a majority of live ones is refused.
func TestRemovalKeepsAMajority(t *testing.T) {
	c := newCluster(t)
	i := c.place(false)
	dead, live := c.members[i].config.Name, c.members[(i+1)%3].config.Name
	c.mustSay(http.StatusNotFound, api.CodeMemberUnknown, "DELETE", "/v1/members/c9", nil)
	c.mustSay(http.StatusBadRequest, api.CodeInvalid, "POST", "/v1/members", api.MemberAdd{Name: "not a name"})
	c.mustSay(http.StatusNotFound, api.CodeMemberUnknown, "POST", "/v1/members", api.MemberAdd{Name: "c4", Replaces: "c9"})
	c.mustSay(http.StatusAccepted, "", "POST", "/v1/members", api.MemberAdd{Name: "c4"})
	if member := c.listed()["c4"]; member.Stage != api.StageAwaited || member.Note == "" {
		t.Fatalf("got %+v", member)
	}
	c.mustSay(http.StatusNoContent, "", "DELETE", "/v1/members/c4", nil)
	c.stop(i)
	c.await("its silence", func() bool { return !c.listed()[dead].Alive })
	c.mustSay(http.StatusConflict, api.CodeQuorumAtRisk, "DELETE", "/v1/members/"+live, nil)
	c.mustSay(http.StatusNoContent, "", "DELETE", "/v1/members/"+dead, nil)
	c.await("two members", func() bool { return len(c.listed()) == 2 })
	// A leader that is to go hands over first; the next one removes it.
	old := c.anyLeader()
	c.mustSay(http.StatusNoContent, "", "DELETE", "/v1/members/"+old.config.Name, nil)
	endsWith(t, old, api.CodeNotAMember)
	last := c.anyLeader()
	if last == nil || last == old {
		t.Fatal("nobody leads")
	}
	c.mustSay(http.StatusConflict, api.CodeLastMember, "DELETE", "/v1/members/"+last.config.Name, nil)
}

// TestNewcomerGetsASnapshot: what the log no longer holds reaches a new member as a snapshot.
func TestNewcomerGetsASnapshot(t *testing.T) {
	c := &cluster{t: t, folder: t.TempDir(), edit: func(config *Config) {
		config.SnapshotInterval, config.SnapshotThreshold, config.TrailingLogs = 200*time.Millisecond, 10, 5
	}}
	c.open()
	for i := range 60 {
		c.mustSay(http.StatusCreated, "", "POST", "/v1/nodes", registration(fmt.Sprintf("n%d", i), 1+i))
	}
	c.await("snapshots", func() bool {
		leader := c.leader()
		if leader == nil {
			return false
		}
		found, err := os.ReadDir(filepath.Join(leader.config.DataDir, "snapshots"))
		return err == nil && len(found) > 0
	})
	folder := t.TempDir()
	fourth := c.newcomer("c4", folder, nil)
	c.mustSay(http.StatusAccepted, "", "POST", "/v1/members", api.MemberAdd{Name: "c4"})
	c.await("the new member to vote", func() bool { return c.listed()["c4"].Stage == api.StageVoter })
	c.await("its state", func() bool { return fourth.State().Index == c.members[0].State().Index })
	if got := len(fourth.State().Nodes()); got != 60 {
		t.Fatalf("the new member has %d nodes", got)
	}
	if found, err := os.ReadDir(filepath.Join(folder, "snapshots")); err != nil || len(found) == 0 {
		t.Fatalf("it did not come by a snapshot: %v", err)
	}
}

// TestDeadMemberIsRemovedUnasked: with the flag set, a fourth member that dies is taken off the list; a
// third is not.
func TestDeadMemberIsRemovedUnasked(t *testing.T) {
	c := &cluster{t: t, folder: t.TempDir(), edit: func(config *Config) { config.MemberDeadAfter = memberDeadAfterMin }}
	c.open()
	fourth := c.newcomer("c4", t.TempDir(), nil)
	c.mustSay(http.StatusAccepted, "", "POST", "/v1/members", api.MemberAdd{Name: "c4"})
	c.await("the new member to vote", func() bool { return c.listed()["c4"].Stage == api.StageVoter })
	c.await("it to be settled", func() bool { return len(c.members[0].State().Enlisted) == 0 })
	if err := fourth.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	c.await("its removal", func() bool { return len(c.listed()) == 3 })
	if took := time.Since(start); took < memberDeadAfterMin/2 {
		t.Fatalf("removed after %v already", took)
	}
	c.await("its name to be free", func() bool { return len(c.members[0].State().Members) == 3 })
}

// TestMembersOfTwoClustersKeepApart: a member that is started with the --join of another cluster goes on
// with its own; neither takes the other for one of its own, or for a word that it was removed.
func TestMembersOfTwoClustersKeepApart(t *testing.T) {
	c := newCluster(t)
	config := c.config(0)
	config.Name, config.DataDir, config.Join, config.Expect = "b1", t.TempDir(), nil, 1
	lone := c.reopen(config)
	c.await("the other cluster", func() bool { return lone.IsLeader() })
	cluster := lone.State().Cluster
	if err := lone.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	config.Join, config.Expect = []string{c.members[0].APIAddr()}, 0
	lone = c.reopen(config)
	defer func() { _ = lone.Close(t.Context()) }()
	c.await("it to lead its own", func() bool { return lone.IsLeader() })
	var problem api.Problem
	message := api.Peers{Self: lone.directory.Message().Self}
	if status := call(t, c.members[0], "POST", "/v1/peers", message, &problem); status != http.StatusConflict || problem.Code != api.CodeWrongCluster {
		t.Fatalf("got %d %+v", status, problem)
	}
	if lone.Err() != nil || lone.State().Cluster != cluster || len(lone.Members()) != 1 || len(c.listed()) != 3 {
		t.Fatalf("got %v in cluster %s with %d members beside %d", lone.Err(), lone.State().Cluster, len(lone.Members()), len(c.listed()))
	}
}
