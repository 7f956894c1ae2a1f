package fsm

import (
	"fmt"
	"slices"

	"github.com/stead-io/stead/api"
)

func (d *draft) bootstrap(command Bootstrap) *api.Problem {
	if d.state.Cluster != "" {
		return api.NewProblem(api.CodeConflict, "the cluster exists already")
	}
	if err := command.Cluster.Validate(); err != nil {
		return api.NewProblem(api.CodeInvalid, "%v", err).InField("cluster")
	}
	if problem := command.Settings.Validate(); problem != nil {
		return problem
	}
	if needsManaged(command) && command.Level < ManagedLevel {
		return api.NewProblem(api.CodeUnsupported, "state %s with %d replicas needs level %d, the founders share %d",
			command.Settings.State, command.Settings.Replicas, ManagedLevel, command.Level).InField("state")
	}
	d.state.Cluster = command.Cluster
	d.state.Settings = command.Settings
	d.state.Level = max(d.state.Level, command.Level)
	slots := 1 << command.Settings.SlotBits
	d.state.slots = newSlotTable(slots)
	d.state.want = newWantTable(slots, command.Settings.Replicas)
	d.oldSettings, d.state.slotsIndex = &api.Settings{}, d.state.Index
	d.addChange("bootstrap", "", api.ChangeDone)
	return nil
}

func (d *draft) settings(command Settings) *api.Problem {
	next := d.state.Settings
	if command.Keys != nil {
		next.Keys = command.Keys
	}
	if command.NoKey != "" {
		next.NoKey = command.NoKey
	}
	if command.MinInSync != nil {
		next.MinInSync = *command.MinInSync
	}
	if command.OnLastCopy != nil {
		next.OnLastCopy = *command.OnLastCopy
	}
	if problem := next.Validate(); problem != nil {
		return problem
	}
	if _, problem := api.ParseKeyRules(next.Keys); problem != nil {
		return problem
	}
	if next.Equal(d.state.Settings) {
		d.result.Note = "the settings are so already"
		return nil
	}
	rulesDiffer := !slices.Equal(next.Keys, d.state.Settings.Keys)
	if rulesDiffer && d.state.slotsAreHeld() && !command.Force {
		return api.NewProblem(api.CodeSettingGuarded,
			"other key rules would look for state under other keys, and nodes hold slots").
			InField("keys").WithNext("force it only if the state may be left behind")
	}
	old := d.state.Settings
	d.oldSettings = &old
	d.state.Settings, d.state.slotsIndex = next, d.state.Index
	change := d.addChange("settings", "", api.ChangeDone)
	change.Lossy = rulesDiffer && d.state.slotsAreHeld()
	return nil
}

func (s *State) slotsAreHeld() bool { return len(s.SlotsHeld()) > 0 }

func (d *draft) level(command Level) *api.Problem {
	if command.Level < d.state.Level {
		return api.NewProblem(api.CodeInvalid, "the level is %d and never falls", d.state.Level).InField("level")
	}
	d.result.Note = fmt.Sprintf("the cluster stands at level %d, as before", command.Level)
	if command.Level > d.state.Level {
		d.result.Note = fmt.Sprintf("the cluster stands at level %d now, and was at %d", command.Level, d.state.Level)
	}
	d.state.Level = command.Level
	return nil
}
