package httpapi

import (
	"fmt"
	"net/http"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/controlplane/fsm"
)

// showCluster answers GET /v1/cluster.
func (s *Server) showCluster(w http.ResponseWriter, _ *http.Request) error {
	state := s.control.State()
	cluster := api.Cluster{
		Cluster: state.Cluster, Settings: state.Settings, Version: state.Version(),
		Change: state.NewestChange(), Level: state.Level,
		Leader: s.control.Leader(), Term: s.control.Term(), Members: s.control.Members(),
		Time: time.Now().UTC(),
	}
	for _, node := range state.Nodes() {
		switch node.Status {
		case api.NodeUp:
			cluster.Nodes.Up++
		case api.NodeSuspect:
			cluster.Nodes.Suspect++
		case api.NodeDown:
			cluster.Nodes.Down++
		}
		if node.Draining {
			cluster.Nodes.Draining++
		}
	}
	for slot := range state.SlotCount() {
		if held := state.Slot(ring.Slot(slot)); held.Primary == ring.NoNode && !held.Recovering() {
			cluster.Unassigned++
		}
	}
	cluster.Recovering = state.Recovering()
	cluster.Alarms = append(alarms(state), s.control.Alarms(time.Now())...)
	return writeJSON(w, http.StatusOK, cluster)
}

// alarms say in words what waits for a person. Nodes that are held outlast their changes in history.
func alarms(state *fsm.State) []string {
	list := recoveryAlarms(state)
	listed := make(map[api.NodeID]bool)
	for _, change := range state.HeldChanges() {
		listed[change.Node] = true
		list = append(list, fmt.Sprintf(
			"change %d (%s) is held: too many nodes vanished at once; `stead nodes drain %s` gives its slots away", change.ID, change.Show().Cause, change.Node))
	}
	if stranded := standings(state)[api.SlotStranded]; stranded > 0 && state.Managed() {
		list = append(list, fmt.Sprintf("slots without a node that is up and has their state: %d; start the nodes that do, or give a slot up with `stead slots force`", stranded))
	}
	for _, node := range state.Nodes() {
		if id := node.Registration.ID; node.Held && !node.Draining && !listed[id] {
			list = append(list, fmt.Sprintf("node %s is held: too many nodes vanished at once; `stead nodes drain %s` gives its slots away", id, id))
		}
	}
	return list
}

// setCluster answers PATCH /v1/cluster.
func (s *Server) setCluster(w http.ResponseWriter, r *http.Request) error {
	var patch api.SettingsPatch
	if problem := decodeStrict(r, &patch); problem != nil {
		return problem
	}
	if problem := checkFixed(patch, s.control.State().Settings); problem != nil {
		return problem
	}
	if patch.Keys != nil {
		if _, problem := api.ParseKeyRules(patch.Keys); problem != nil {
			return problem
		}
	}
	changes := patch.Keys != nil || patch.NoKey != nil || patch.MinInSync != nil || patch.OnLastCopy != nil
	if patch.Level != nil && changes {
		return api.NewProblem(api.CodeInvalid, "raise the level by itself, without other settings").InField("level")
	}
	answer := api.Changed{Version: s.control.State().Version(), Note: "nothing to change"}
	if patch.Level != nil {
		if problem := s.checkLevel(*patch.Level); problem != nil {
			return problem
		}
		result, err := s.propose(w, r, fsm.Level{Level: *patch.Level})
		if err != nil {
			return err
		}
		answer = api.Changed{Version: result.Version, Note: result.Note}
	}
	if changes {
		command := fsm.Settings{Keys: patch.Keys, Force: patch.Force, MinInSync: patch.MinInSync, OnLastCopy: patch.OnLastCopy}
		if patch.NoKey != nil {
			command.NoKey = *patch.NoKey
		}
		result, err := s.propose(w, r, command)
		if err != nil {
			return err
		}
		answer = api.Changed{Change: result.Change, Version: result.Version, Note: result.Note}
	}
	return writeJSON(w, http.StatusOK, answer)
}

// checkFixed refuses to change what was fixed when the cluster was made.
func checkFixed(patch api.SettingsPatch, is api.Settings) *api.Problem {
	fixed := func(field string, asked, has any) *api.Problem {
		return api.NewProblem(api.CodeSettingFixed, "it is %v since the cluster was made, and cannot become %v", has, asked).InField(field)
	}
	switch {
	case patch.Service != nil && *patch.Service != is.Service:
		return fixed("service", *patch.Service, is.Service)
	case patch.State != nil && *patch.State != is.State:
		return fixed("state", *patch.State, is.State)
	case patch.SlotBits != nil && *patch.SlotBits != is.SlotBits:
		return fixed("slot_bits", *patch.SlotBits, is.SlotBits)
	case patch.Replicas != nil && (*patch.Replicas < 1 || *patch.Replicas > api.ReplicasMax):
		return api.NewProblem(api.CodeInvalid, "%d is not between 1 and %d", *patch.Replicas, api.ReplicasMax).InField("replicas")
	case patch.Replicas != nil && *patch.Replicas != is.Replicas:
		return api.NewProblem(api.CodeUnsupported, "how many replicas slots have is said when the cluster is made, and cannot change in this version").InField("replicas")
	case patch.NoKey != nil:
		return patch.NoKey.Validate()
	}
	return nil
}

// checkLevel refuses a level that some member could not follow.
func (s *Server) checkLevel(level int) *api.Problem {
	for _, member := range s.control.Members() {
		if member.Level < level {
			return api.NewProblem(api.CodeUnsupported, "member %s supports levels to %d", member.Name, member.Level).InField("level").
				WithNext("upgrade that member first")
		}
	}
	return nil
}

// transferLeader answers POST /v1/leader/transfer.
func (s *Server) transferLeader(w http.ResponseWriter, r *http.Request) error {
	var asked api.LeaderTransfer
	if problem := decodeStrict(r, &asked); problem != nil {
		return problem
	}
	if err := s.control.Transfer(asked.To); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// beatProxy answers POST /v1/proxies/{id}/beat.
func (s *Server) beatProxy(w http.ResponseWriter, r *http.Request) error {
	id := api.ProxyID(r.PathValue("id"))
	if err := id.Validate(); err != nil {
		return api.NewProblem(api.CodeInvalid, "%v", err).InField("id")
	}
	var beat api.ProxyBeat
	if problem := decodeLenient(r, &beat); problem != nil {
		return problem
	}
	if err := api.ValidateAddress(beat.Address); err != nil {
		return api.NewProblem(api.CodeInvalid, "%v", err).InField("address")
	}
	if beat.Admin != "" {
		if err := api.ValidateAddress(beat.Admin); err != nil {
			return api.NewProblem(api.CodeInvalid, "%v", err).InField("admin")
		}
	}
	beat.Nack = api.Clip(beat.Nack)
	beat.Troubles = api.TrimTroubles(beat.Troubles)
	if problem := s.control.ProxyBeat(id, beat, time.Now()); problem != nil {
		return problem
	}
	return writeJSON(w, http.StatusOK, api.ProxyBeaten{Version: s.control.State().Version()})
}

// listProxies answers GET /v1/proxies.
func (s *Server) listProxies(w http.ResponseWriter, _ *http.Request) error {
	now := time.Now()
	return writeJSON(w, http.StatusOK, api.ProxyList{
		Proxies: s.control.Proxies(now), Version: s.control.State().Version(), Time: now.UTC(),
	})
}

// exchangePeers answers POST /v1/peers.
func (s *Server) exchangePeers(w http.ResponseWriter, r *http.Request) error {
	var message api.Peers
	if problem := decodeLenient(r, &message); problem != nil {
		return problem
	}
	if problem := speaksFor(r, transport.RoleMember, message.Self.Name); problem != nil {
		return problem
	}
	answer, err := s.control.ExchangePeers(message, time.Now())
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, answer)
}
