package controlplane

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stead-io/stead/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// cluster is three members in this process, over real sockets and disks.
type cluster struct {
	t       *testing.T
	folder  string
	members [3]*Member
	webhook string        // URL, empty for none
	extra   []*Member     // that came later; whoever opened them closes them
	edit    func(*Config) // of every member's config, if set
}

func newCluster(t *testing.T) *cluster {
	c := &cluster{t: t, folder: t.TempDir()}
	c.open()
	return c
}

func (c *cluster) open() {
	c.t.Cleanup(func() {
		for i := range c.members {
			c.stop(i)
		}
	})
	for i := range c.members {
		c.start(i)
	}
	c.await("a leader, and all to know the cluster and its members", func() bool {
		for _, member := range c.members {
			if len(member.State().Members) < len(c.members) {
				return false
			}
		}
		return c.leader() != nil
	})
}

func (c *cluster) config(i int) Config {
	config := NewConfig()
	config.Name = fmt.Sprintf("c%d", i+1)
	config.Listen, config.RaftListen = "127.0.0.1:0", "127.0.0.1:0"
	config.DataDir = filepath.Join(c.folder, config.Name)
	config.DNS.Listen = "127.0.0.1:0"
	config.Expect = len(c.members)
	config.PlanDelay = 50 * time.Millisecond
	if c.webhook != "" {
		config.Webhooks, config.WebhookKey = []string{c.webhook}, []byte("0123456789abcdef")
	}
	config.Logger = slog.New(slog.NewTextHandler(c.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	for _, other := range c.members {
		if other != nil {
			config.Join = append(config.Join, other.APIAddr())
		}
	}
	if c.edit != nil {
		c.edit(&config)
	}
	return config
}

func (c *cluster) start(i int) *Member {
	c.t.Helper()
	member, err := Open(c.config(i))
	if err != nil {
		c.t.Fatal(err)
	}
	c.members[i] = member
	return member
}

func (c *cluster) stop(i int) {
	if c.members[i] == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.members[i].Close(ctx); err != nil {
		c.t.Errorf("member %d: %v", i, err)
	}
	c.members[i] = nil
}

func (c *cluster) leader() *Member {
	for _, member := range c.members {
		if member != nil && member.IsLeader() {
			return member
		}
	}
	return nil
}

// leading waits for a leader: one may be lost at any time, where the machine has much else to do.
func (c *cluster) leading() (leader *Member) {
	c.t.Helper()
	c.await("a leader", func() bool {
		leader = c.leader()
		return leader != nil
	})
	return leader
}

func (c *cluster) await(what string, reached func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(patience); !reached(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// call sends a request to one member and decodes the answer.
func call(t *testing.T, member *Member, method, path string, body, answer any, headers ...string) int {
	t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	if body == nil {
		raw = nil
	}
	request, err := http.NewRequest(method, "http://"+member.APIAddr()+path, bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := (&http.Client{Transport: transport, Timeout: patience}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer != nil {
		if err := json.Unmarshal(content, answer); err != nil {
			t.Fatalf("%s %s: %v in %q", method, path, err, content)
		}
	}
	return response.StatusCode
}

func registration(id string, port int) api.Registration {
	return api.Registration{ID: api.NodeID(id), Address: fmt.Sprintf("127.0.0.1:%d", port), Lease: api.LeaseNone, OnDown: api.OnDownReset}
}

func TestClusterLivesThroughItsLeader(t *testing.T) {
	c := newCluster(t)
	for i := range 3 {
		var answer api.Registered
		if status := call(t, c.members[i], "POST", "/v1/nodes", registration(fmt.Sprintf("n%d", i), 1+i), &answer); status != http.StatusCreated {
			t.Fatalf("registered through member %d: %d", i, status)
		}
	}
	c.await("slots for all", func() bool {
		leader := c.leader()
		return leader != nil && len(leader.State().SlotsHeld()) == 3
	})
	before := c.leading().State()
	for i, member := range c.members {
		if member.IsLeader() {
			c.stop(i)
			break // its successor may lead by now
		}
	}
	c.await("another leader", func() bool { return c.leader() != nil })
	after := c.leader()
	if after.State().Version().Compare(before.Version()) < 0 {
		t.Fatalf("versions ran back from %s to %s", before.Version(), after.State().Version())
	}
	if status := call(t, after, "POST", "/v1/nodes", registration("n9", 9), nil); status != http.StatusCreated {
		t.Fatalf("registering with two members: %d", status)
	}
}

func TestClusterComesBackElsewhere(t *testing.T) {
	c := newCluster(t)
	call(t, c.leading(), "POST", "/v1/nodes", registration("n1", 1), nil)
	c.await("slots", func() bool { l := c.leader(); return l != nil && len(l.State().SlotsHeld()) == 1 })
	before := c.leading().State()
	for i := range c.members {
		c.stop(i)
	}
	for i := range c.members {
		c.start(i)
	}
	c.await("a leader on new ports", func() bool { return c.leader() != nil })
	after := c.leading().State()
	if after.Cluster != before.Cluster || after.Version() != before.Version() || after.NewestChange() != before.NewestChange() {
		t.Fatalf("came back as %s %s, was %s %s", after.Cluster, after.Version(), before.Cluster, before.Version())
	}
}

func TestWipedMemberIsRefused(t *testing.T) {
	c := newCluster(t)
	i := 0
	for c.members[i].IsLeader() {
		i++
	}
	c.stop(i)
	if err := os.RemoveAll(c.config(i).DataDir); err != nil {
		t.Fatal(err)
	}
	member := c.start(i)
	select {
	case <-member.Done():
	case <-time.After(patience):
		t.Fatal("an empty folder under a known name was not refused")
	}
	if api.CodeOf(member.Err()) != api.CodeMemberNameKnown {
		t.Fatalf("got %v", member.Err())
	}
}

// TestMemberThatLostSomethingIsRefused: without its log it could elect a leader that lacks what it had
// acknowledged; without its identity nobody knows whose log it has.
func TestMemberThatLostSomethingIsRefused(t *testing.T) {
	c := newCluster(t)
	c.stop(0)
	folder := c.config(0).DataDir
	f := func(name string, damage func(path string) error) {
		t.Helper()
		path := filepath.Join(folder, name)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := damage(path); err != nil {
			t.Fatal(err)
		}
		if member, err := Open(c.config(0)); err == nil {
			_ = member.Close(t.Context())
			t.Errorf("a member with a damaged %s was started", name)
		} else {
			t.Log(err)
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f("raft.db", os.Remove)
	f("raft.db", func(path string) error { return os.Truncate(path, 0) })
	f("raft.db", func(path string) error { return os.Truncate(path, 5000) })
	f("raft.db", func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte("x"), 32<<10), 0o600) })
	f("member.json", os.Remove)
	f("member.json", func(path string) error { return os.WriteFile(path, []byte("{}"), 0o600) })
	f("member.json", func(path string) error { return os.Truncate(path, 5) })
	c.start(0)
	c.await("the whole folder to serve again", func() bool { return c.members[0].InTouch() })
}

// TestOneOfManyFoundsNothingAlone: whoever is told of others does not found a cluster without them.
func TestOneOfManyFoundsNothingAlone(t *testing.T) {
	c := newCluster(t)
	config := c.config(0)
	config.DataDir, config.Expect, config.Name = t.TempDir(), 1, "c9"
	if _, err := Open(config); err == nil {
		t.Error("three to join and one expected was taken")
	}
	config.Join = config.Join[:1]
	stranger, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stranger.Close(t.Context()) }()
	c.await("the stranger to be seen", func() bool {
		var list api.MemberList
		call(t, c.leading(), "GET", "/v1/members", nil, &list)
		return len(list.Members) == 4 && list.Members[3].Stage == api.StageUnlisted && list.Members[3].Name == "c9"
	})
	if stranger.Err() != nil || stranger.State().Cluster != "" {
		t.Fatalf("got %v in cluster %q", stranger.Err(), stranger.State().Cluster)
	}
}

// TestTransferByName: leadership goes where it is sent.
func TestTransferByName(t *testing.T) {
	c := newCluster(t)
	for round := range 6 {
		name := fmt.Sprintf("c%d", round%3+1)
		if status := call(t, c.leading(), "POST", "/v1/leader/transfer", api.LeaderTransfer{To: name}, nil); status != http.StatusNoContent {
			t.Fatalf("transfer to %s: %d", name, status)
		}
		c.await(name+" to lead", func() bool { leader := c.leader(); return leader != nil && leader.config.Name == name })
	}
}

func TestLoneMemberSaysSo(t *testing.T) {
	c := newCluster(t)
	c.stop(1)
	c.stop(2)
	c.await("cut off", func() bool { return !c.members[0].InTouch() })
	var problem api.Problem
	status := call(t, c.members[0], "GET", "/v1/ring?after=999&wait=30s", nil, &problem)
	if status != http.StatusServiceUnavailable || problem.Code != api.CodeNoLeader {
		t.Fatalf("a poll got %d %+v", status, problem)
	}
	status = call(t, c.members[0], "POST", "/v1/nodes", registration("n1", 1), &problem)
	if status != http.StatusServiceUnavailable || problem.Code != api.CodeNoLeader {
		t.Fatalf("a write got %d %+v", status, problem)
	}
	if status := call(t, c.members[0], "GET", "/v1/nodes?consistency=stale", nil, nil); status != http.StatusOK {
		t.Fatalf("a stale read got %d", status)
	}
}
