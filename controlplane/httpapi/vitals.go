package httpapi

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/controlplane/fsm"
)

// Vitals is what a member measures of itself when its metrics are asked for.
type Vitals struct {
	CommitIndex, LastIndex uint64
	SinceContact           time.Duration // with a leader; 0 on the leader, very long if there never was one
	LogBytes               int64
	DiskFree, DiskSize     uint64 // bytes; 0 where the platform does not say
}

// vitals shows how the member, the ring and the fleet stand, all of it read at one moment.
type vitals struct {
	control Control
	fanout  *fanout // of the ring
	slots   *fanout
}

// reading is that moment.
type reading struct {
	Vitals
	control   Control
	state     *fsm.State
	size      fsm.Size
	voters    int
	alive     int // of the voters
	slots     map[ring.NodeIndex]int
	standings map[api.SlotStanding]int // of slots
	nodes     map[api.NodeStatus]int
	draining  int
	held      int
	proxies   []api.Proxy
	watchers  int64 // of the ring
	followers int64 // of slots
	leads     bool
	inTouch   bool
	following bool
}

func (v vitals) read(now time.Time) reading {
	r := reading{
		Vitals: v.control.Vitals(now), control: v.control, state: v.control.State(),
		nodes: map[api.NodeStatus]int{}, proxies: v.control.Proxies(now), watchers: v.fanout.waiting.Load(), followers: v.slots.waiting.Load(),
		leads: v.control.IsLeader(), inTouch: v.control.InTouch(), following: v.control.CaughtUp(),
	}
	r.size, r.slots, r.standings = r.state.Size(), r.state.SlotsHeld(), standings(r.state)
	for _, member := range v.control.Members() {
		if member.Voter {
			r.voters++
			r.alive += int(asNumber(member.Alive))
		}
	}
	for _, node := range r.state.Nodes() {
		r.nodes[node.Status]++
		r.draining += int(asNumber(node.Draining))
		r.held += int(asNumber(node.Held))
	}
	return r
}

// standings counts the slots by how they are.
func standings(state *fsm.State) map[api.SlotStanding]int {
	listed := make(map[api.NodeID]api.SlotNode)
	for _, node := range state.Nodes() {
		is := node.Registration
		listed[is.ID] = api.SlotNode{ID: is.ID, Store: is.StoreID, Status: node.Status}
	}
	up := func(r api.Replica) bool { return listed[r.Node].Runs(r) }
	counts := make(map[api.SlotStanding]int)
	for slot := range state.SlotCount() {
		counts[state.SlotConfig(api.Slot(slot)).Standing(up)]++
	}
	return counts
}

func (r reading) unassigned() int {
	free := r.state.SlotCount()
	for _, held := range r.slots {
		free -= held
	}
	return free
}

func (r reading) mostSlots() (most int) {
	for _, held := range r.slots {
		most = max(most, held)
	}
	return most
}

// count counts the proxies that are as asked.
func (r reading) count(matches func(api.Proxy) bool) (count int) {
	for _, proxy := range r.proxies {
		count += int(asNumber(matches(proxy)))
	}
	return count
}

func (r reading) mostLag() (most uint64) {
	for _, proxy := range r.proxies {
		if proxy.Status == api.ProxyUp {
			most = max(most, proxy.Lag)
		}
	}
	return most
}

// gauge is one metric of a reading; label and values are those of a family with one label.
type gauge struct {
	desc   *prometheus.Desc
	value  func(reading) float64
	values map[string]func(reading) float64
}

func single[N int | int64 | uint64 | float64](name, help string, value func(reading) N) gauge {
	return gauge{
		desc:  prometheus.NewDesc(name, help, nil, nil),
		value: func(r reading) float64 { return float64(value(r)) },
	}
}

// gauges are what the vitals show, in the order of their subjects: log, disk, history, ring, nodes, fleet.
var gauges = []gauge{
	single("stead_control_leader", "1 on the member that leads.", func(r reading) float64 { return asNumber(r.leads) }),
	single("stead_control_in_touch", "1 while this member hears from a leader.", func(r reading) float64 { return asNumber(r.inTouch) }),
	single("stead_control_following", "1 while this member keeps up with the leader's log.", func(r reading) float64 { return asNumber(r.following) }),
	single("stead_control_last_contact_seconds", "Time since this member heard from a leader; 0 on the leader.", func(r reading) float64 { return r.SinceContact.Seconds() }),
	single("stead_control_term", "Raft term.", func(r reading) uint64 { return r.control.Term() }),
	single("stead_control_applied_index", "Index of the last log entry applied.", func(r reading) uint64 { return r.state.Index }),
	single("stead_control_commit_index", "Index of the last log entry that a majority holds, as far as this member knows.", func(r reading) uint64 { return r.CommitIndex }),
	single("stead_control_last_index", "Index of the last entry in this member's log.", func(r reading) uint64 { return r.LastIndex }),
	single("stead_control_voters", "Members with a vote.", func(r reading) int { return r.voters }),
	single("stead_control_voters_alive", "Members with a vote that this one reached within seconds, itself included.", func(r reading) int { return r.alive }),
	single("stead_control_level", "FSM level in force.", func(r reading) int { return r.state.Level }),
	single("stead_control_log_bytes", "Size of the Raft log's file.", func(r reading) int64 { return r.LogBytes }),
	single("stead_control_disk_free_bytes", "Bytes free on the data folder's disk.", func(r reading) uint64 { return r.DiskFree }),
	single("stead_control_disk_size_bytes", "Size of the data folder's disk.", func(r reading) uint64 { return r.DiskSize }),
	single("stead_control_changes_kept", "Changes that history keeps.", func(r reading) int { return r.size.Changes }),
	single("stead_control_versions_kept", "Ring versions that history can rebuild.", func(r reading) int { return r.size.Versions }),
	single("stead_control_history_bytes", "Memory that those ring versions hold on to.", func(r reading) int { return r.size.HistoryBytes }),
	single("stead_control_idempotency_results", "Results remembered under idempotency keys.", func(r reading) int { return r.size.Results }),
	single("stead_control_watchers", "Requests waiting here for a newer ring.", func(r reading) int64 { return r.watchers }),
	single("stead_control_slot_watchers", "Requests waiting here for slots to change.", func(r reading) int64 { return r.followers }),
	single("stead_ring_generation", "Generation of the ring.", func(r reading) uint64 { return r.state.Generation }),
	single("stead_ring_version", "Number of the ring version.", func(r reading) uint64 { return r.state.Number }),
	single("stead_ring_slots", "Slots of the ring.", func(r reading) int { return r.state.SlotCount() }),
	single("stead_ring_slots_unassigned", "Slots that no node holds.", reading.unassigned),
	single("stead_ring_slots_recovering", "Slots that wait for a store's report after a restore.", func(r reading) int { return r.state.Recovering() }),
	single("stead_ring_slots_most", "Slots of the node that holds most.", reading.mostSlots),
	single("stead_ring_changes_pending", "Changes that wait for the planner.", func(r reading) int { return len(r.state.Pending()) }),
	single("stead_ring_changes_held", "Changes that the eviction governor holds.", func(r reading) int { return len(r.state.HeldChanges()) }),
	single("stead_nodes_draining", "Registered nodes that give their slots away.", func(r reading) int { return r.draining }),
	single("stead_nodes_held", "Registered nodes whose slots the eviction governor keeps where they are.", func(r reading) int { return r.held }),
	single("stead_proxies_lag_versions", "Ring versions that the proxy furthest behind lacks; only the leader knows.", reading.mostLag),
	single("stead_proxies_refusing", "Proxies that refuse a newer ring; only the leader knows.", func(r reading) int {
		return r.count(func(proxy api.Proxy) bool { return proxy.Nack != "" })
	}),
	{
		desc: prometheus.NewDesc("stead_slots", "Slots of the ring by how they are: settled, moving, stranded, recovering, unassigned.", []string{"state"}, nil),
		values: map[string]func(reading) float64{
			string(api.SlotSettled): slotsThatAre(api.SlotSettled), string(api.SlotMoving): slotsThatAre(api.SlotMoving),
			string(api.SlotStranded): slotsThatAre(api.SlotStranded), string(api.SlotRecovering): slotsThatAre(api.SlotRecovering),
			string(api.SlotUnassigned): slotsThatAre(api.SlotUnassigned),
		},
	},
	{
		desc: prometheus.NewDesc("stead_nodes", "Registered nodes by status.", []string{"status"}, nil),
		values: map[string]func(reading) float64{
			string(api.NodeUp): nodesThatAre(api.NodeUp), string(api.NodeSuspect): nodesThatAre(api.NodeSuspect), string(api.NodeDown): nodesThatAre(api.NodeDown),
		},
	},
	{
		desc: prometheus.NewDesc("stead_proxies", "Proxies by status; only the leader knows.", []string{"status"}, nil),
		values: map[string]func(reading) float64{
			api.ProxyUp: proxiesThatAre(api.ProxyUp), api.ProxyDraining: proxiesThatAre(api.ProxyDraining), api.ProxyDown: proxiesThatAre(api.ProxyDown),
		},
	},
}

func slotsThatAre(standing api.SlotStanding) func(reading) float64 {
	return func(r reading) float64 { return float64(r.standings[standing]) }
}

func nodesThatAre(status api.NodeStatus) func(reading) float64 {
	return func(r reading) float64 { return float64(r.nodes[status]) }
}

func proxiesThatAre(status string) func(reading) float64 {
	return func(r reading) float64 {
		return float64(r.count(func(proxy api.Proxy) bool { return proxy.Status == status }))
	}
}

// Describe lists the metrics.
func (vitals) Describe(out chan<- *prometheus.Desc) {
	for _, gauge := range gauges {
		out <- gauge.desc
	}
}

// Collect reads them all at one moment.
func (v vitals) Collect(out chan<- prometheus.Metric) {
	now := v.read(time.Now())
	for _, gauge := range gauges {
		if gauge.value != nil {
			out <- prometheus.MustNewConstMetric(gauge.desc, prometheus.GaugeValue, gauge.value(now))
		}
		for label, value := range gauge.values {
			out <- prometheus.MustNewConstMetric(gauge.desc, prometheus.GaugeValue, value(now), label)
		}
	}
}
