package main

import (
	"github.com/spf13/cobra"

	"github.com/stead-io/stead/api"
)

// replicasManaged is how many replicas a slot of managed state has unless told otherwise: one may be lost.
const replicasManaged = 2

// stateFlags say what kind of state a new cluster keeps, and how safely.
type stateFlags struct {
	state      string
	replicas   int
	minInSync  int
	onLastCopy string
}

func (f *stateFlags) add(command *cobra.Command) {
	flags := command.Flags()
	f.addKind(command)
	flags.IntVar(&f.minInSync, "min-in-sync", 1, "replicas of a slot, the primary among them, without which it takes no writes")
	flags.StringVar(&f.onLastCopy, "on-last-copy", string(api.OnLastCopyWait), "what becomes of a slot whose last copy was in the memory of a process that ended: wait or recreate it empty")
	completeWords(command, "on-last-copy", string(api.OnLastCopyWait), string(api.OnLastCopyRecreate))
}

// addKind adds only what `stead dev` lets choose, too.
func (f *stateFlags) addKind(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&f.state, "state", string(api.StateManaged), "what kind of state the service keeps: managed, hooks or none")
	flags.IntVar(&f.replicas, "replicas", replicasManaged, "replicas of each slot; 1 where the state is not managed")
	completeWords(command, "state", string(api.StateManaged), string(api.StateHooks), string(api.StateNone))
}

// kind is the state and the replicas that go with it.
func (f *stateFlags) kind(command *cobra.Command) (state api.State, replicas int) {
	if state = api.State(f.state); state != api.StateManaged && !command.Flags().Changed("replicas") {
		return state, 1
	}
	return state, f.replicas
}

// apply puts the flags into settings. Those that are as if not given stay out of them: clusters of earlier
// versions do not know them.
func (f *stateFlags) apply(command *cobra.Command, settings *api.Settings) {
	settings.State, settings.Replicas = f.kind(command)
	settings.MinInSync, settings.OnLastCopy = 0, ""
	if f.minInSync != 1 {
		settings.MinInSync = f.minInSync
	}
	if f.onLastCopy != string(api.OnLastCopyWait) {
		settings.OnLastCopy = api.OnLastCopy(f.onLastCopy)
	}
}
