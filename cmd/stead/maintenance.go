package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/api"
)

func maintenanceCommand(o *operator) *cobra.Command {
	var lasts time.Duration
	var end bool
	command := nodeChange(o, "maintenance ID", "Announce that a node will be away for a while", func(s *session, id api.NodeID) (api.Changed, error) {
		switch {
		case end == (lasts != 0):
			return api.Changed{}, usage("either --for or --end is needed")
		case lasts < 0 || lasts > api.MaintenanceMax:
			return api.Changed{}, usage("--for %v is not between 0s and %v", lasts, api.MaintenanceMax)
		}
		return s.Maintain(s.command.Context(), id, api.Duration(lasts))
	})
	command.Long = `Announce that a node will be away for a while: its slots stay its, also if it resets, and its absence
counts for nothing. A node that is still away when the time is over is treated as gone then.`
	command.Example = `  stead nodes maintenance n2 --for 15m
  stead nodes maintenance n2 --end`
	command.Flags().DurationVar(&lasts, "for", 0, "how `long` from now, 24h at most")
	command.Flags().BoolVar(&end, "end", false, "end it now")
	return command
}
