//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/tests/cluster"
)

// traffic registers nodes and writes keys until it is stopped, and remembers what was acknowledged.
type traffic struct {
	t       *testing.T
	c       *cluster.Cluster
	stop    context.CancelFunc
	workers sync.WaitGroup

	mu            sync.Mutex
	registrations map[api.NodeID]api.ChangeID
	keys          [][]byte
}

const writers = 4

func startTraffic(t *testing.T, c *cluster.Cluster) *traffic {
	ctx, stop := context.WithCancel(t.Context())
	l := &traffic{t: t, c: c, stop: stop, registrations: map[api.NodeID]api.ChangeID{}}
	l.workers.Go(func() { l.register(ctx) })
	for writer := range writers {
		if len(c.ProxyAddrs) > 0 {
			l.workers.Go(func() { l.write(ctx, writer) })
		}
	}
	t.Cleanup(l.finish)
	return l
}

func (l *traffic) register(ctx context.Context) {
	for i := 0; ctx.Err() == nil; i++ {
		id := api.NodeID(fmt.Sprintf("s%d", i))
		answer, err := l.c.Client.Register(ctx, api.Registration{ID: id, Address: fmt.Sprintf("127.0.0.1:%d", 2000+i), Lease: api.LeaseNone})
		if err == nil {
			l.mu.Lock()
			l.registrations[id] = answer.Change
			l.mu.Unlock()
		}
		pause(10 * time.Millisecond)
	}
}

func (l *traffic) write(ctx context.Context, writer int) {
	for i := 0; ctx.Err() == nil; i++ {
		key := fmt.Appendf(nil, "w%d-%d", writer, i)
		got, err := try(l.t.Context(), "PUT", kvURL(l.c.ProxyAddrs[i%len(l.c.ProxyAddrs)], key), key)
		if err == nil && got.status == http.StatusCreated {
			l.mu.Lock()
			l.keys = append(l.keys, key)
			l.mu.Unlock()
		}
		pause(time.Millisecond)
	}
}

func (l *traffic) finish() {
	l.stop()
	l.workers.Wait()
}

// check finishes the load: all that was acknowledged is there.
func (l *traffic) check(registrationsMin, keysMin int) {
	l.t.Helper()
	l.finish()
	l.t.Logf("acknowledged: %d registrations, %d writes", len(l.registrations), len(l.keys))
	if len(l.registrations) < registrationsMin || len(l.keys) < keysMin {
		l.t.Errorf("too little load to mean anything")
	}
	ctx, cancel := context.WithTimeout(l.t.Context(), cluster.Patience)
	defer cancel()
	list, err := l.c.Client.Nodes(ctx)
	if err != nil {
		l.t.Fatal(err)
	}
	listed := map[api.NodeID]bool{}
	for _, node := range list.Nodes {
		listed[node.ID] = true
	}
	for id := range l.registrations {
		if !listed[id] {
			l.t.Errorf("the registration of %s was acknowledged and is lost", id)
		}
	}
	for i, key := range l.keys {
		if got := must(l.t, "GET", kvURL(l.c.ProxyAddrs[i%len(l.c.ProxyAddrs)], key), nil); got.status != http.StatusOK || string(got.body) != string(key) {
			l.t.Fatalf("%s was acknowledged and is %d %s", key, got.status, got.body)
		}
	}
}

func stages(ctx context.Context, c *cluster.Cluster) map[string]api.Member {
	members := map[string]api.Member{}
	if list, err := c.Client.Members(ctx); err == nil {
		for _, member := range list.Members {
			members[member.Name] = member
		}
	}
	return members
}

// TestMemberReplacedUnderLoad: a new machine's member is added, catches up by a snapshot, and takes the
// leader's place. No acknowledged registration or write is lost, and history has no gap.
func TestMemberReplacedUnderLoad(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Members: 3, Proxies: 1, Nodes: 2, ControlArgs: []string{
		"--raft-snapshot-interval", "500ms", "--raft-snapshot-threshold", "40", "--raft-trailing-logs", "10"}})
	l := startTraffic(t, c)
	pause(2 * time.Second) // for the log to be cut
	fourth := c.AddMember("c4", "--log-level", "debug")
	c.Await("the newcomer to be seen", func(ctx context.Context) bool { return stages(ctx, c)["c4"].Stage == api.StageUnlisted })
	start := time.Now()
	stead(t, c, "members", "add", "c4", "--wait", "20s")
	within(t, "asked for to vote", time.Since(start), 10*time.Second)
	if !strings.Contains(fourth.Output(), "Installed remote snapshot") {
		t.Error("the new member did not come by a snapshot")
	}
	leader := c.Leader()
	name := fmt.Sprintf("c%d", leader+1)
	start = time.Now()
	stead(t, c, "members", "remove", name)
	within(t, "removing the leader", time.Since(start), 5*time.Second)
	if code := c.Members[leader].Ended(); code != 1 || !strings.Contains(c.Members[leader].Output(), "was removed from the cluster") {
		t.Errorf("the removed leader ended with %d:\n%s", code, c.Members[leader].Output())
	}
	c.Members[leader].Start()
	c.Members[leader].Ended()
	c.Await("three voters", func(ctx context.Context) bool {
		members := stages(ctx, c)
		_, listed := members[name]
		return len(members) == 3 && !listed && members["c4"].Voter
	})
	pause(300 * time.Millisecond)
	l.check(50, 200)
	c.APIs = append(c.APIs[:leader], c.APIs[leader+1:]...)
	checkHistory(t, c, nil)
}

// TestWipedMemberComesBackWhenAsked: under its old name a wiped voter is refused and the cluster does not
// notice; once it was asked for it takes part again.
func TestWipedMemberComesBackWhenAsked(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Members: 3})
	wiped := (c.Leader() + 1) % 3
	name := fmt.Sprintf("c%d", wiped+1)
	before, err := c.Client.Cluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.Members[wiped].Kill()
	if err := os.RemoveAll(c.MemberDir(wiped)); err != nil {
		t.Fatal(err)
	}
	c.Members[wiped].Start()
	if code := c.Members[wiped].Ended(); code != 1 || !strings.Contains(c.Members[wiped].Output(), "stead members replace "+name+" "+name) {
		t.Errorf("the wiped member ended with %d:\n%s", code, c.Members[wiped].Output())
	}
	after, err := c.Client.Cluster(t.Context())
	if err != nil || after.Leader != before.Leader || after.Term != before.Term {
		t.Errorf("leader %s of term %d became %s of term %d, %v", before.Leader, before.Term, after.Leader, after.Term, err)
	}
	c.Await("its silence", func(ctx context.Context) bool { member, listed := stages(ctx, c)[name]; return listed && !member.Alive })
	stead(t, c, "members", "replace", name, name, "--no-wait")
	c.Members[wiped].Start()
	c.Await("the fresh folder to vote", func(ctx context.Context) bool {
		list, err := c.Client.Members(ctx)
		return err == nil && len(list.Members) == 3 && stages(ctx, c)[name].Stage == api.StageVoter && stages(ctx, c)[name].Alive
	})
	stead(t, c, "members", "transfer", name)
	c.Await("it to lead", func(ctx context.Context) bool { return stages(ctx, c)[name].Leader })
}
