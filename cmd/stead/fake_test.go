package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

var (
	fakeCluster  = api.ClusterID(strings.Repeat("0a", 16))
	fakeVersion  = api.Version{Generation: 1, Number: 34}
	fakeMoment   = time.Date(2025, time.November, 21, 9, 13, 0, 0, time.UTC)
	fakeFinish   = fakeMoment.Add(1234 * time.Millisecond)
	fakeSettings = api.Settings{
		Service: "kv", State: api.StateNone, Keys: []string{"header:X-Shard-Key", "path:/kv/{key}"},
		NoKey: api.NoKeyReject, SlotBits: api.SlotBitsMin, Replicas: 1, Hash: api.HashSipHash24,
		HashKey: strings.Repeat("5a", 16),
	}
)

// fakeControl plays a control plane that always says the same: three nodes, n2 down, n3 static.
func fakeControl() http.Handler {
	mux := http.NewServeMux()
	says := func(pattern string, value any) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) { answer(w, value) })
	}
	says("GET /v1/nodes", fakeNodes())
	says("GET /v1/proxies", fakeProxies())
	says("GET /v1/cluster", fakeStatus())
	says("GET /v1/members", fakeMembers())
	mux.HandleFunc("POST /v1/members", addFakeMember)
	mux.HandleFunc("DELETE /v1/members/{id}", removeFakeMember)
	mux.HandleFunc("GET /v1/ring/changes", listFakeChanges)
	says("GET /v1/ring/changes/12", fakeChanges().Changes[0])
	says("GET /v1/ring/versions", fakeVersions())
	says("GET /v1/ring/diff", fakeDiff())
	says("GET /v1/ring/locate", fakeRing(34).Location([]byte("acme")))
	says("POST /v1/ring/rebalance", api.Changed{Version: fakeVersion})
	says("POST /v1/nodes/n2/maintenance", api.Changed{Change: 16, Version: fakeVersion})
	mux.HandleFunc("POST /v1/ring/plan", planRings)
	mux.HandleFunc("POST /v1/ring/rollback", rollBack)
	says("PATCH /v1/nodes/n1", api.Changed{Change: 13, Version: fakeVersion, LeavesState: 1})
	addFakeSlots(mux)
	mux.HandleFunc("GET /v1/ring", serveRing)
	mux.HandleFunc("POST /v1/nodes/{id}/drain", drainOnly("n2"))
	mux.HandleFunc("POST /v1/nodes/{id}/undrain", drainOnly("n2"))
	mux.HandleFunc("DELETE /v1/nodes/n1", removeByForce)
	mux.HandleFunc("PATCH /v1/cluster", settingsByForce)
	mux.HandleFunc("POST /v1/leader/transfer", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", api.TypeJSON)
	_ = json.NewEncoder(w).Encode(value)
}

func drainOnly(known string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if id := r.PathValue("id"); id != known {
			api.NewProblem(api.CodeNodeUnknown, "no node %s is registered", id).WriteTo(w)
			return
		}
		if r.Header.Get("If-Match") != "" {
			api.NewProblem(api.CodePrecondition, "the newest change is 12, not %s", r.Header.Get("If-Match")).WriteTo(w)
			return
		}
		if r.Header.Get(api.HeaderIdempotencyKey) == "sent-before" {
			w.Header().Set(api.HeaderReplayed, "true")
		}
		answer(w, api.Changed{Change: 12, Version: fakeVersion, LeavesState: 85, Note: "asked by " + r.Header.Get(api.HeaderActor)})
	}
}

func removeByForce(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("force") != "lossy" {
		api.NewProblem(api.CodeLastCopy, "n1 holds the state of 86 slots").WriteTo(w)
		return
	}
	answer(w, api.Changed{Change: 14, Version: fakeVersion, LeavesState: 86})
}

func settingsByForce(w http.ResponseWriter, r *http.Request) {
	var patch api.SettingsPatch
	if json.NewDecoder(r.Body).Decode(&patch) != nil || !patch.Force {
		api.NewProblem(api.CodeSettingGuarded, "3 nodes hold slots").InField("keys").
			WithNext("drain them, or repeat with --force").WriteTo(w)
		return
	}
	answer(w, api.Changed{Change: 15, Version: fakeVersion, Note: strings.Join(patch.Keys, " and ")})
}

// serveRing answers polls with the next version, up to 36.
func serveRing(w http.ResponseWriter, r *http.Request) {
	var number uint64 = 34
	if after, err := api.ParseVersion(r.URL.Query().Get("after")); err == nil {
		if number = after.Number + 1; number > 36 {
			<-r.Context().Done()
			return
		}
	}
	w.Header().Set("Content-Type", api.TypeRing)
	_, _ = w.Write(fakeRing(number).Encode())
}

// fakeRing has 256 slots in turn of n1, n2 and n3; slot 0 is nobody's, and version 35 moves slot 1.
func fakeRing(number uint64) *ring.View {
	table := ring.NewTable(fakeCluster, api.SlotBitsMin, 1)
	table.Version = api.Version{Generation: 1, Number: number}
	table.Previous = number - 1
	table.Nodes = []ring.Node{
		{ID: "n1", Address: "127.0.0.1:7500", Status: ring.StatusUp},
		{ID: "n2", Address: "127.0.0.1:7501", Status: ring.StatusDown},
		{ID: "n3", Address: "127.0.0.1:7502", Status: ring.StatusUp},
	}
	for slot := 1; slot < table.Bits.Slots(); slot++ {
		table.Epochs[slot], table.Owners[slot] = 1, ring.NodeIndex(slot%3)
	}
	if number > 34 {
		table.Epochs[1], table.Owners[1] = 2, 2
	}
	view, err := ring.NewView(fakeSettings, table)
	if err != nil {
		panic(err)
	}
	return view
}

func fakeNodes() api.NodeList {
	node := func(id api.NodeID, address string, status api.NodeStatus) api.Node {
		registration := api.Registration{ID: id, Address: address}.WithDefaults()
		return api.Node{Registration: registration, Status: status, Slots: 85, Registered: fakeMoment, Since: fakeMoment}
	}
	heard := api.Duration(120 * time.Millisecond)
	n1 := node("n1", "127.0.0.1:7500", api.NodeUp)
	n1.Zone, n1.LastBeat = "a", &heard
	n2 := node("n2", "127.0.0.1:7501", api.NodeDown)
	n2.Draining = true
	n3 := node("n3", "127.0.0.1:7502", api.NodeUp)
	until := fakeMoment.Add(15 * time.Minute)
	n2.Maintenance = &until
	n3.Lease, n3.OnDown = api.LeaseNone, api.OnDownReset
	return api.NodeList{Nodes: []api.Node{n1, n2, n3}, Version: fakeVersion}
}

func fakeProxies() api.ProxyList {
	return api.ProxyList{
		Proxies: []api.Proxy{
			{ID: "p1", Address: "127.0.0.1:8080", Admin: "127.0.0.1:8081", Version: fakeVersion, Status: "up", LastBeat: api.Duration(time.Millisecond)},
			{ID: "p2", Address: "127.0.0.1:8090", Version: api.Version{Generation: 1, Number: 33}, Status: "up", Lag: 1, Nack: "other key rules",
				Troubles: []api.NodeTrouble{{Node: "n1", Connects: 10, Breaks: 2, GivenUp: true}, {Node: "n3", Timeouts: 1}}},
		},
		Version: fakeVersion, Time: fakeMoment,
	}
}

func fakeStatus() api.Cluster {
	member := func(name string, leader, alive bool) api.Member {
		return api.Member{
			ID: api.MemberID(name + "-5eed"), Name: name, API: "http://127.0.0.1:7400", Raft: "127.0.0.1:7401",
			Voter: true, Leader: leader, Alive: alive, Applied: 99, Level: 1,
		}
	}
	return api.Cluster{
		Cluster: fakeCluster, Settings: fakeSettings, Version: fakeVersion, Change: 12, Level: 1, Leader: "c1-5eed", Term: 7,
		Members: []api.Member{member("c1", true, true), member("c2", false, true), member("c3", false, false)},
		Nodes:   api.NodeCount{Up: 2, Down: 1, Draining: 1}, Unassigned: 1,
		Alarms: []string{"evictions are held: n2"}, Time: fakeMoment,
	}
}

// listFakeChanges keeps change 10 and what came after it.
func listFakeChanges(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("before") == "10" {
		answer(w, api.ChangeList{Changes: []api.Change{}, Oldest: 10})
		return
	}
	answer(w, fakeChanges())
}

func fakeChanges() api.ChangeList {
	at := func(number uint64) api.Version { return api.Version{Generation: 1, Number: number} }
	return api.ChangeList{
		Changes: []api.Change{
			{ID: 12, Kind: "drain", Node: "n2", Cause: "drain n2", Actor: "ann@desk", Time: fakeMoment, First: at(30), Last: at(34),
				Status: api.ChangeRunning, Progress: api.Progress{Done: 80, Total: 85}, LeavesState: 80},
			{ID: 11, Kind: "expire", Node: "n3", Cause: "expire n3", Actor: "system", Time: fakeMoment, First: at(29), Last: at(29),
				Finished: &fakeFinish, Status: api.ChangeDone, Progress: api.Progress{Done: 85, Total: 85}, Lossy: true, Detail: "its slots were given away empty"},
			{ID: 10, Kind: "register", Node: "n1", Cause: "register n1", Actor: "node n1", Time: fakeMoment, Status: api.ChangePending},
		},
		Oldest: 1, Next: 10,
	}
}

func fakeVersions() api.VersionList {
	return api.VersionList{
		Versions: []api.RingVersion{
			{Version: fakeVersion, Time: fakeMoment, Change: 12, Cause: "drain n2", Slots: 85},
			{Version: api.Version{Generation: 1, Number: 33}, Time: fakeMoment, Cause: "suspect n2", Nodes: 1},
		},
		Oldest: api.Version{Generation: 1, Number: 1},
	}
}

func fakeDiff() api.RingDiff {
	return api.RingDiff{
		From: api.Version{Generation: 1, Number: 30}, To: fakeVersion, Moved: 1, Share: 1.0 / 256,
		Slots: []api.SlotDiff{
			{Slot: 7, Before: api.SlotOwner{Epoch: 1, Replicas: []api.NodeID{"n2"}}, After: api.SlotOwner{Epoch: 2, Replicas: []api.NodeID{"n1"}}},
			{Slot: 9, After: api.SlotOwner{Epoch: 1}},
		},
		Nodes: []api.NodeDiff{
			{ID: "n1", Before: &api.NodeShare{Address: "127.0.0.1:7500", Status: "up", Slots: 85}, After: &api.NodeShare{Address: "127.0.0.1:7500", Status: "up", Slots: 86}},
			{ID: "n2", Before: &api.NodeShare{Address: "127.0.0.1:7501", Status: "up", Slots: 1}},
		},
	}
}
