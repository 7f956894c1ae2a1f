package main

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/stead-io/stead/api"
)

// addFakeSlots plays a control plane under which n2 gives its slots away, one an answer.
func addFakeSlots(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/slots", serveSlots)
	mux.HandleFunc("GET /v1/slots/{slot}", func(w http.ResponseWriter, r *http.Request) {
		for _, config := range fakeFeed(34).Slots {
			if r.PathValue("slot") == strconv.Itoa(int(config.Slot)) {
				answer(w, config)
				return
			}
		}
		api.NewProblem(api.CodeInvalid, "%q is not one of the slots 0 to 7", r.PathValue("slot")).InField("slot").WriteTo(w)
	})
	mux.HandleFunc("POST /v1/slots/5/force", func(w http.ResponseWriter, r *http.Request) {
		var asked api.SlotForce
		if json.NewDecoder(r.Body).Decode(&asked) != nil {
			panic("no body")
		}
		answer(w, api.Changed{Change: 17, Version: fakeVersion, Note: "slot 5 is " + string(asked.Node) + "'s"})
	})
	mux.HandleFunc("POST /v1/nodes/n2/evict", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, api.Evicted{
			Changed: api.Changed{Change: 18, Version: fakeVersion},
			Kept:    []api.SlotsKept{{Reason: "it has the only copy", Slots: []api.Slot{2, 6}}},
		})
	})
	mux.HandleFunc("POST /v1/ring/changes/12/cancel", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, api.Changed{Change: 19, Version: fakeVersion})
	})
	mux.HandleFunc("GET /v1/nodes/n2", func(w http.ResponseWriter, _ *http.Request) { answer(w, fakeNodes().Nodes[1]) })
}

func serveSlots(w http.ResponseWriter, r *http.Request) {
	var index uint64 = 34
	if after, err := api.ParseSlotCursor(r.URL.Query().Get("after")); err == nil {
		if index = after.Index + 1; index > 36 {
			<-r.Context().Done()
			return
		}
	}
	w.Header().Set(api.HeaderCluster, string(fakeCluster))
	answer(w, fakeFeed(index))
}

// fakeFeed is of eight slots: 2 and 6 are n2's at index 34, 6 at 35, none at 36; n9, which has slot 5, is down.
func fakeFeed(index uint64) api.SlotFeed {
	replica := func(node api.NodeID) api.Replica {
		return api.Replica{Node: node, Store: api.StoreID(strings.Repeat("0"+string(node[1]), 16))}
	}
	feed := api.SlotFeed{
		Cluster: fakeCluster, Version: fakeVersion, Cursor: api.SlotCursor{Generation: 1, Index: index}, Full: true, Settings: fakeSettings,
		Nodes: []api.SlotNode{{ID: "n1", Status: api.NodeUp}, {ID: "n2", Status: api.NodeUp}, {ID: "n3", Status: api.NodeSuspect}, {ID: "n9", Status: api.NodeDown}},
		Slots: make([]api.SlotConfig, 8),
	}
	for i, node := range feed.Nodes {
		feed.Nodes[i].Store = replica(node.ID).Store
	}
	for i := range feed.Slots {
		feed.Slots[i] = api.SlotConfig{
			Slot: api.Slot(i), Epoch: 3, Primary: "n1", ISR: []api.Replica{replica("n1"), replica("n3")}, Want: []api.NodeID{"n1", "n3"},
			Kind: "expand", Proposer: "n1",
		}
	}
	if index < 35 {
		feed.Slots[2].Primary, feed.Slots[2].ISR = "n2", []api.Replica{replica("n2"), replica("n1")}
	}
	if index < 36 {
		feed.Slots[6].ISR = append(feed.Slots[6].ISR, replica("n2"))
	}
	feed.Slots[5].Primary, feed.Slots[5].ISR = "n9", []api.Replica{replica("n9")}
	feed.Slots[7] = api.SlotConfig{Slot: 7}
	return feed
}
