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
	if needsKeys(command) && command.Level < KeysLevel {
		return beneathKeys(command.Level)
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

// beneathKeys refuses what members of a lower level refuse too.
func beneathKeys(level int) *api.Problem {
	return api.NewProblem(api.CodeUnsupported, "cookie, host and json rules and no-key=%s need level %d, the cluster stands at %d",
		api.NoKeySticky, KeysLevel, level).InField("keys")
}

func (d *draft) settings(command Settings) *api.Problem {
	if needsKeys(command) && d.state.Level < KeysLevel {
		return beneathKeys(d.state.Level)
	}
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
	field := strands(d.state.Settings, next)
	rulesDiffer := field != ""
	if rulesDiffer && d.state.slotsAreHeld() && !command.Force {
		return api.NewProblem(api.CodeSettingGuarded,
			"other key rules would look for state under other keys, and nodes hold slots").
			InField(field).WithNext("force it only if the state may be left behind")
	}
	old := d.state.Settings
	d.oldSettings = &old
	d.state.Settings, d.state.slotsIndex = next, d.state.Index
	change := d.addChange("settings", "", api.ChangeDone)
	change.Lossy = rulesDiffer && d.state.slotsAreHeld()
	return nil
}

// strands names the setting by which requests would look for their state elsewhere; empty: none does.
func strands(is, next api.Settings) string {
	switch {
	case !slices.Equal(next.Keys, is.Keys):
		return "keys"
	case is.NoKey == api.NoKeySticky && next.NoKey != api.NoKeySticky:
		return "no_key"
	default:
		return ""
	}
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
