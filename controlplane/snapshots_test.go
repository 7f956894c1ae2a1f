package controlplane

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/client"
	"github.com/stead-io/stead/controlplane/fsm"
)

// raw sends octets as they are, and returns the status, headers and body of the answer.
func raw(t *testing.T, member *Member, method, path string, body []byte) (int, http.Header, []byte) {
	t.Helper()
	request, err := http.NewRequest(method, "http://"+member.APIAddr()+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, content
}

// knowLeader reports whether every member can pass a request on.
func knowLeader(c *cluster) bool {
	for _, member := range c.members {
		if _, known := member.LeaderURL(); !known && !member.IsLeader() {
			return false
		}
	}
	return true
}

// announce sends the head of a request that says how long its body is, and no body.
func announce(t *testing.T, member *Member, method, path string, length int) int {
	t.Helper()
	conn, err := net.Dial("tcp", member.APIAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", method, path, length)
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// TestRestore: a snapshot taken from any member is restored through any member, and all have it.
func TestRestore(t *testing.T) {
	c := newCluster(t)
	for i := range 3 {
		call(t, c.leading(), "POST", "/v1/nodes", registration(fmt.Sprintf("n%d", i), 9000+i), nil)
	}
	c.await("all to know the leader", func() bool { return knowLeader(c) })
	c.await("the ring", func() bool { return c.leader() != nil && len(c.leading().State().SlotsHeld()) == 3 })
	status, header, snapshot := raw(t, c.members[1], "GET", "/v1/snapshot", nil)
	if status != http.StatusOK || header.Get(api.HeaderGeneration) != "1" || header.Get(api.HeaderVersion) == "" {
		t.Fatalf("%d %v", status, header)
	}
	facts, err := ReadSnapshot(bytes.NewReader(snapshot))
	if err != nil || facts.Nodes != 3 || facts.Slots != 4096 || facts.Bytes != int64(len(snapshot)) || facts.Settings.HashKey != "" {
		t.Fatalf("%+v, %v", facts, err)
	}
	if !strings.HasPrefix(string(snapshot), "stead-snapshot/1 "+facts.Digest+"\n") {
		t.Errorf("digest is %s", facts.Digest)
	}
	call(t, c.members[0], "DELETE", "/v1/nodes/n2?force=lossy", nil, nil)
	c.await("n2 to be gone", func() bool { return len(c.leading().State().SlotsHeld()) == 2 })
	before := c.leading().State()
	for i := range c.members { // one of them leads, the others pass it on
		var changed api.Changed
		c.await("the restore", func() bool { // a machine under load may lose its leader on the way
			status, _, body := raw(t, c.members[i], "PUT", "/v1/snapshot", snapshot)
			if err := json.Unmarshal(body, &changed); err != nil || status != http.StatusOK && status != http.StatusServiceUnavailable {
				t.Fatalf("member %d: %d %s", i, status, body)
			}
			return status == http.StatusOK
		})
		if changed.Change <= before.NewestChange() || changed.Version.Number <= before.Number {
			t.Errorf("%+v follows %s, change %d", changed, before.Version(), before.NewestChange())
		}
	}
	for _, member := range c.members {
		c.await("the restored state", func() bool {
			state := member.State()
			return state.Generation >= 4 && state.Node("n2") != nil && len(state.SlotsHeld()) == 3
		})
	}
	c.await("a leader", func() bool { return c.leader() != nil })
	call(t, c.leading(), "POST", "/v1/nodes", registration("n9", 9009), nil)
	c.await("the log to go on", func() bool { return c.members[2].State().Node("n9") != nil })
}

// TestARestoreThatFewHaveHappensToAllOrNone: a leader that is alone with a restore has not restored
// anything yet; when the others are back, all have the same state.
func TestARestoreThatFewHaveHappensToAllOrNone(t *testing.T) {
	c := newCluster(t)
	call(t, c.leading(), "POST", "/v1/nodes", registration("n1", 9001), nil)
	leading := c.leader()
	command, err := fsm.RestoreOf(leading.State(), false)
	if err != nil {
		t.Fatal(err)
	}
	before := leading.State().Generation
	alone := slices.Index(c.members[:], leading)
	others := slices.DeleteFunc([]int{0, 1, 2}, func(i int) bool { return i == alone })
	var stopped sync.WaitGroup
	for _, i := range others {
		stopped.Go(func() { c.stop(i) })
	}
	stopped.Wait()
	if _, err := leading.Propose(t.Context(), fsm.By("ann"), command); err == nil {
		t.Fatal("restored without a majority")
	}
	if now := leading.State().Generation; now != before {
		t.Fatalf("generation %d became %d on one member alone", before, now)
	}
	c.stop(alone)
	for i := range c.members {
		c.start(i)
	}
	c.await("a leader", func() bool { return c.leader() != nil })
	call(t, c.leading(), "POST", "/v1/nodes", registration("n2", 9002), nil)
	c.await("the same state everywhere", func() bool {
		first := c.members[0].State()
		return first.Node("n2") != nil && !slices.ContainsFunc(c.members[:], func(member *Member) bool {
			state := member.State()
			return state.Version() != first.Version() || state.NewestChange() != first.NewestChange()
		})
	})
}

// TestRestoreRefuses: each with its code, and nothing changed.
func TestRestoreRefuses(t *testing.T) {
	c := newCluster(t)
	c.await("all to know the leader", func() bool { return knowLeader(c) })
	call(t, c.leading(), "POST", "/v1/nodes", registration("n1", 9001), nil)
	_, _, snapshot := raw(t, c.leading(), "GET", "/v1/snapshot", nil)
	foreign := func() []byte {
		config := c.config(0)
		config.Name, config.DataDir, config.Join, config.Expect = "x1", t.TempDir(), nil, 1
		other, err := Open(config)
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close(t.Context())
		c.await("the other cluster", other.IsLeader)
		_, _, octets := raw(t, other, "GET", "/v1/snapshot", nil)
		status, _, body := raw(t, other, "PUT", "/v1/snapshot", snapshot) // it is fresh: it may become this one
		if status != http.StatusOK {
			t.Errorf("into a fresh cluster: %d %s", status, body)
		}
		return octets
	}()
	before := c.leading().State().Version()
	f := func(path string, body []byte, want api.Code) {
		t.Helper()
		for _, member := range c.members {
			status, _, answer := raw(t, member, "PUT", path, body)
			var problem api.Problem
			if err := json.Unmarshal(answer, &problem); err != nil || problem.Code != want || status != api.Codes[want].Status {
				t.Errorf("%d %s, want %s", status, answer, want)
			}
		}
	}
	f("/v1/snapshot", nil, api.CodeSnapshotDamaged)
	f("/v1/snapshot", []byte("{}"), api.CodeSnapshotDamaged)
	f("/v1/snapshot", snapshot[:len(snapshot)-1], api.CodeSnapshotDamaged)
	f("/v1/snapshot", append(bytes.Clone(snapshot), 'x'), api.CodeSnapshotDamaged)
	f("/v1/snapshot", bytes.Replace(snapshot, []byte(`"n1"`), []byte(`"n2"`), 1), api.CodeSnapshotDamaged)
	f("/v1/snapshot", bytes.Repeat([]byte{'a'}, 1<<20), api.CodeSnapshotDamaged)
	f("/v1/snapshot", foreign, api.CodeWrongCluster)
	f("/v1/snapshot?force=yes", snapshot, api.CodeInvalid)
	f("/v1/snapshot?force=other-cluster&force=", snapshot, api.CodeInvalid)
	for _, member := range c.members {
		if status := announce(t, member, "PUT", "/v1/snapshot", 256<<20+1); status != http.StatusRequestEntityTooLarge {
			t.Errorf("a body that says it is too large: %d", status)
		}
	}
	if now := c.leading().State().Version(); now != before {
		t.Errorf("the ring went from %s to %s", before, now)
	}
	status, _, body := raw(t, c.leading(), "PUT", "/v1/snapshot?force=other-cluster", foreign)
	if status != http.StatusOK || c.leading().State().Generation != 2 {
		t.Errorf("with force: %d %s", status, body)
	}
}

// TestReportsOverTheAPI: a node that beats registers again after a restore, and its report counts.
func TestReportsOverTheAPI(t *testing.T) {
	c := newCluster(t)
	control, err := client.New(client.Config{Members: []string{c.members[0].APIAddr(), c.members[1].APIAddr(), c.members[2].APIAddr()}})
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	beating := api.Registration{ID: "n1", Address: "127.0.0.1:9001", Reports: true}
	registered, err := control.Register(t.Context(), beating)
	if err != nil || registered.Report {
		t.Fatalf("%+v, %v", registered, err)
	}
	c.await("the ring", func() bool { return len(c.leading().State().SlotsHeld()) == 1 })
	view, err := control.Ring(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	saved, err := control.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := io.ReadAll(saved)
	if _ = saved.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := control.Restore(t.Context(), bytes.NewReader(snapshot), int64(len(snapshot)), false); err != nil {
		t.Fatal(err)
	}
	var shown api.Cluster
	call(t, c.leading(), "GET", "/v1/cluster", nil, &shown)
	if shown.Recovering != 4096 || shown.Unassigned != 0 || len(shown.Alarms) != 1 || !strings.Contains(shown.Alarms[0], "n1") {
		t.Errorf("cluster says %+v", shown)
	}
	if _, err := control.Beat(t.Context(), "n1", api.Beat{Session: registered.Session}); api.CodeOf(err) != api.CodeUnknownSession {
		t.Errorf("a beat of the old session: %v", err)
	}
	if registered, err = control.Register(t.Context(), beating); err != nil || !registered.Report {
		t.Fatalf("%+v, %v", registered, err)
	}
	if err := control.Report(t.Context(), "n1", registered.Session, view); err != nil {
		t.Fatal(err)
	}
	call(t, c.leading(), "GET", "/v1/cluster", nil, &shown)
	if state := c.leading().State(); shown.Recovering != 0 || state.Recovers() || state.Table().Epochs[7] <= view.Table.Epochs[7] {
		t.Errorf("after the report: %+v", shown)
	}
	if status, _, body := raw(t, c.leading(), "POST", "/v1/nodes/n1/report?session=x", nil); status != http.StatusOK {
		t.Errorf("a report that nobody waits for: %d %s", status, body)
	}
}

// TestScheduledSnapshots: whole files, none when nothing changed, the newest kept, others' left alone.
func TestScheduledSnapshots(t *testing.T) {
	folder := t.TempDir()
	config := NewConfig()
	config.Listen, config.RaftListen, config.DataDir, config.Expect = "127.0.0.1:0", "127.0.0.1:0", t.TempDir(), 1
	config.SnapshotDir, config.SnapshotEvery, config.SnapshotKeep = filepath.Join(folder, "snapshots"), time.Hour, 2
	member, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	defer member.Close(context.WithoutCancel(t.Context()))
	for deadline := time.Now().Add(patience); member.Snapshots().Saved.IsZero(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing was saved")
		}
	}
	foreign := filepath.Join(config.SnapshotDir, "stead-00000000-1-1-20200101T000000Z.snapshot")
	if err := os.WriteFile(foreign, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for i := range 4 {
		call(t, member, "POST", "/v1/nodes", registration(fmt.Sprintf("n%d", i), 9000+i), nil)
		now = now.Add(time.Minute)
		state := member.State()
		if saved, err := member.saveSnapshot(state, now); err != nil || !saved {
			t.Fatalf("%v, %v", saved, err)
		}
		if saved, err := member.saveSnapshot(state, now.Add(time.Second)); err != nil || saved {
			t.Fatalf("saved again though nothing changed: %v", err)
		}
	}
	files, err := filepath.Glob(filepath.Join(config.SnapshotDir, "*"))
	if err != nil || len(files) != 3 || files[0] != foreign {
		t.Fatalf("%v, %v", files, err)
	}
	for _, path := range files[1:] {
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ReadSnapshot(file); err != nil {
			t.Error(err)
		}
		_ = file.Close()
	}
	call(t, member, "POST", "/v1/nodes", registration("n9", 9009), nil)
	past := now.Add(-25 * time.Hour) // the clock was wrong till now, or is from now on
	if _, err := member.saveSnapshot(member.State(), past); err != nil {
		t.Fatal(err)
	}
	if kept, _ := filepath.Glob(filepath.Join(config.SnapshotDir, "*"+past.UTC().Format("T150405Z")+".snapshot")); len(kept) != 1 {
		t.Errorf("the newest was removed: %v", kept)
	}
	member.config.SnapshotDir = filepath.Join(foreign, "no-folder")
	member.noteSaved(member.saveSnapshot(member.State().Reborn(member.State(), rebirthNow()), now))
	if alarms := member.snapshotAlarms(); len(alarms) != 1 || member.Snapshots().Failures != 1 {
		t.Errorf("a folder that cannot be written: %v", alarms)
	}
}

// TestWhatMayBeRestoredWhere: levels and clusters, without any Raft.
func TestWhatMayBeRestoredWhere(t *testing.T) {
	state := func(cluster api.ClusterID, level int, nodes int) *fsm.State {
		state := fsm.New()
		settings := NewConfig().Settings
		settings.HashKey = randomHex()
		commands := []fsm.Command{fsm.Bootstrap{Cluster: cluster, Settings: settings, Level: level}}
		for i := range nodes {
			commands = append(commands, fsm.Register{Registration: registration(fmt.Sprintf("n%d", i), 9000+i)})
		}
		for _, command := range commands {
			entry, err := fsm.Encode(fsm.At(time.Now(), fsm.By("test")), command)
			if err == nil {
				state, _, err = fsm.Apply(state, state.Index+1, entry)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		return state
	}
	own, other := api.ClusterID(randomHex()), api.ClusterID(randomHex())
	f := func(present, from *fsm.State, force bool, want api.Code) {
		t.Helper()
		problem := present.CheckRestore(from, force)
		if problem == nil && want != "" || problem != nil && problem.Code != want {
			t.Errorf("got %v, want %q", problem, want)
		}
	}
	f(state(own, 2, 1), state(own, 1, 1), false, "")
	f(state(own, 1, 1), state(own, 1, 1), true, api.CodeUnsupported)
	future := state(own, 2, 1)
	future.Level = fsm.LevelSupported + 1
	f(state(own, 2, 1), future, true, api.CodeUnsupported)
	f(state(own, 2, 1), state(other, 2, 1), false, api.CodeWrongCluster)
	f(state(own, 2, 1), state(other, 2, 1), true, "")
	f(state(own, 2, 0), state(other, 2, 1), false, "")
	f(state(own, 2, 0), fsm.New(), true, api.CodeSnapshotDamaged)
}
