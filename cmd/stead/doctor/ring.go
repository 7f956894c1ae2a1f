package doctor

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/stead-io/stead/api"
)

// What is worth a warning of the ring, its nodes and the fleet.
const (
	skewMax      = 1.25 // slots over what the weight asks for
	slotsFew     = 20   // a node; fewer divide too coarsely
	lagMax       = 5    // ring versions
	troublesMax  = 10   // requests of a proxy that lately failed at a node; one that is restarted leaves some
	historySpan  = 24 * time.Hour
	notKnownHere = "a member must answer, and one must lead"
)

// checkPorts: whatever was advertised can be connected to, from here.
func checkPorts(f *Facts, r *report) {
	down := map[string]bool{}
	if f.Nodes != nil {
		for _, node := range f.Nodes.Nodes {
			down[node.Address] = node.Status == api.NodeDown
		}
	}
	for _, member := range f.Members {
		down[member.Raft] = member.Err != nil
	}
	if f.Proxies != nil {
		for _, proxy := range f.Proxies.Proxies {
			down[proxy.Address] = proxy.Status == api.ProxyDown
			down[proxy.Admin] = proxy.Status == api.ProxyDown
		}
	}
	var shut []string
	for _, port := range f.Ports {
		if port.Err != nil && !down[port.Address] { // that its owner is down is said elsewhere
			shut = append(shut, fmt.Sprintf("%s at %s", port.Owner, port.Address))
		}
	}
	if len(shut) > 0 {
		r.warn("does it run, and does the network between let you?", "cannot be reached from this machine: %s", few(shut))
	}
	r.ok("%d advertised addresses can be reached from this machine", len(f.Ports))
}

// checkRing: every slot has a node, and each node as many as its weight asks for.
func checkRing(f *Facts, r *report) {
	slots := 1 << f.Cluster.Settings.SlotBits
	if f.Nodes == nil {
		r.warn(notKnownHere, "the nodes are not known")
		return
	}
	if len(f.Nodes.Nodes) == 0 {
		r.warn("register some: stead node, stead sidecar, or POST /v1/nodes", "there are no nodes")
		return
	}
	if f.Cluster.Unassigned > 0 {
		r.fail("stead ring history says why", "%d of %d slots have no node: their keys answer 503", f.Cluster.Unassigned, slots)
	}
	weights := 0
	for _, node := range f.Nodes.Nodes {
		if !node.Draining {
			weights += max(node.Weight, 1)
		}
	}
	worst, skew := api.Node{}, 0.0
	for _, node := range f.Nodes.Nodes {
		share := float64(slots) * float64(max(node.Weight, 1)) / float64(max(weights, 1))
		if ratio := float64(node.Slots) / share; ratio > skew {
			worst, skew = node, ratio
		}
	}
	if skew > skewMax {
		r.warn(rebalanceAdvice(f), "%s holds %d slots, %.2f times what its weight asks for", worst.ID, worst.Slots, skew)
	}
	if each := slots / len(f.Nodes.Nodes); each < slotsFew {
		r.warn("found the next cluster with more --slots", "%d slots for %d nodes is %d each: shares come out coarse", slots, len(f.Nodes.Nodes), each)
	}
	r.ok("version %s, all %d slots held, peak %.2f of what weights ask for", f.Cluster.Version, slots, skew)
}

// checkNodes: who is down, silent or leaving.
func checkNodes(f *Facts, r *report) {
	if f.Nodes == nil {
		r.warn(notKnownHere, "the nodes are not known")
		return
	}
	var suspect, empty []string
	for _, node := range f.Nodes.Nodes {
		name := string(node.ID)
		switch {
		case node.Status == api.NodeDown && node.Slots > 0:
			r.fail("start it again; or give its state up: "+giveUp(f, name), "%s is down and holds %d slots: their keys answer 503", name, node.Slots)
		case node.Status == api.NodeDown:
			r.warn("start it again, or stead nodes remove "+name, "%s is down; it holds no slots", name)
		case node.Status == api.NodeSuspect:
			suspect = append(suspect, name)
		case node.Slots == 0 && !node.Draining:
			empty = append(empty, name)
		}
	}
	if len(suspect) > 0 {
		r.warn("run it again in a few seconds", "not heard of for half their ttl: %s", few(suspect))
	}
	if len(empty) > 0 {
		r.warn("stead ring rebalance gives them some", "up and without slots: %s", few(empty))
	}
	r.ok("%d up, %d of them draining", f.Cluster.Nodes.Up, f.Cluster.Nodes.Draining)
}

// checkNodeDisks: a node whose reserve is used up holds up the writes of every slot that it is in sync of.
func checkNodeDisks(f *Facts, r *report) {
	for _, id := range slices.Sorted(maps.Keys(f.NodesFull)) {
		if f.NodesFull[id] {
			r.fail(fmt.Sprintf("make room there, or stead nodes drain %s", id),
				"the disk of node %s is nearly full: writes to its slots, and to those it has copies of, are refused (507)", id)
		}
	}
}

// giveUp is the command that gives up what a node holds. A drain does where slots flip without their state.
func giveUp(f *Facts, node string) string {
	if f.Cluster.Settings.State == api.StateNone {
		return "stead nodes drain " + node
	}
	return "stead nodes remove " + node + " --force"
}

func rebalanceAdvice(f *Facts) string {
	if f.Cluster.Settings.State == api.StateNone {
		return "stead ring rebalance; it says whose state stays behind"
	}
	return "stead ring rebalance; slots that move now show in stead slots"
}

// checkProxies: every proxy routes by the present ring, and reaches the nodes in it.
func checkProxies(f *Facts, r *report) {
	if f.Proxies == nil {
		r.warn(notKnownHere, "the proxies are not known")
		return
	}
	up := 0
	for _, proxy := range f.Proxies.Proxies {
		switch {
		case proxy.Status == api.ProxyDown:
			r.warn("start it again, or take it out of DNS", "proxy %s has not been heard of for %v or more", proxy.ID, proxy.LastBeat)
			continue
		case proxy.Nack != "":
			r.fail("give it the cluster's --key rules, or upgrade it", "proxy %s refuses the ring: %s", proxy.ID, proxy.Nack)
		case proxy.Lag > lagMax:
			r.warn("can it reach the members?", "proxy %s is %d versions behind", proxy.ID, proxy.Lag)
		case proxy.Version.Generation != f.Proxies.Version.Generation:
			r.warn("can it reach the members?", "proxy %s is in generation %d, the ring in %d", proxy.ID, proxy.Version.Generation, f.Proxies.Version.Generation)
		}
		checkTroubles(f, r, &proxy)
		up++
	}
	if up == 0 {
		r.warn("start one: stead proxy", "no proxy is heard of")
	}
	r.ok("%d up, all by version %s", up, f.Proxies.Version)
}

// checkTroubles: a node that beats may be out of a proxy's reach all the same, or answer it nothing. Of one that is down
// there is other word.
func checkTroubles(f *Facts, r *report, proxy *api.Proxy) {
	for _, trouble := range proxy.Troubles {
		address, up := addressOf(f, trouble.Node)
		switch {
		case !up:
		case trouble.GivenUp:
			r.warn(fmt.Sprintf("can %s be reached from there?", address),
				"node %s is up, and takes no connections of proxy %s, which refuses its requests", trouble.Node, proxy.ID)
		case trouble.Total() > troublesMax:
			r.warn("its log, and that of the node, may say why",
				"%d requests of proxy %s failed at node %s lately: %d not connected, %d not answered in time, %d broken off",
				trouble.Total(), proxy.ID, trouble.Node, trouble.Connects, trouble.Timeouts, trouble.Breaks)
		}
	}
}

// addressOf is where a node is that is up.
func addressOf(f *Facts, id api.NodeID) (address string, up bool) {
	if f.Nodes == nil {
		return "", false
	}
	for _, node := range f.Nodes.Nodes {
		if node.ID == id && node.Status == api.NodeUp {
			return node.Address, true
		}
	}
	return "", false
}

// checkAlarms: what the control plane itself wants a person for.
func checkAlarms(f *Facts, r *report) {
	for _, alarm := range f.Cluster.Alarms {
		r.fail("decide", "%s", alarm)
	}
	r.ok("none")
}

// checkHistory: state that was given up lately.
func checkHistory(f *Facts, r *report) {
	var lossy []string
	for _, change := range f.Changes {
		if change.Lossy && f.Cluster.Time.Sub(change.Time) < historySpan {
			lossy = append(lossy, fmt.Sprintf("change %d (%s)", change.ID, change.Cause))
		}
	}
	slices.Sort(lossy)
	if len(lossy) > 0 {
		r.warn("stead ring history says who asked", "state was given up within a day: %s", few(lossy))
	}
	r.ok("no state was given up within a day")
}
