package main

import (
	"github.com/spf13/cobra"

	"github.com/stead-io/stead/nodesvc/sidecar"
)

type sidecarFlags struct {
	membershipFlags
	config sidecar.Config
}

func sidecarCommand() *cobra.Command {
	f := sidecarFlags{config: sidecar.NewConfig()}
	f.membershipFlags.config = f.config.Node
	command := &cobra.Command{
		Use:   "sidecar [flags] [-- COMMAND...]",
		Short: "Make any HTTP server a node",
		Long: `Make any HTTP server a node: register it, start it if a command is given, check its health, guard it
against requests for keys that live elsewhere, and drain it before it stops.`,
		Example: `  stead sidecar --id app1 --upstream 127.0.0.1:8000 --health /healthz -- python3 app.py`,
		Args:    cobra.ArbitraryArgs,
		RunE: func(command *cobra.Command, args []string) (err error) {
			if len(args) > 0 && command.ArgsLenAtDash() != 0 {
				return usage("what shall be run stands behind --, not %q", args[0])
			}
			config := f.config
			if config.Node, err = f.complete(command); err != nil {
				return err
			}
			config.Command, config.Logger = args, config.Node.Logger
			return serve(command, &f.serverFlags, config, sidecar.Open)
		},
	}
	f.membershipFlags.add(command, &f.config.Listen)
	command.Annotations = nil // it serves for another, whose program is to be as its author knows it
	flags, config := command.Flags(), &f.config
	flags.StringVar(&config.Upstream, "upstream", config.Upstream, "`address` of the server")
	flags.StringVar(&config.AdminListen, "admin-listen", config.AdminListen, "`address` of health and metrics; without it there is none")
	flags.StringVar(&config.HealthPath, "health", config.HealthPath, "`path` that answers 2xx while the server is well")
	flags.DurationVar(&config.HealthInterval, "health-interval", config.HealthInterval, "time between checks")
	flags.IntVar(&config.HealthFailures, "health-failures", config.HealthFailures, "failures in a row that make the node unwell")
	flags.BoolVar(&config.Hooks, "hooks", config.Hooks, "the server exports, imports and deletes slots: for clusters of state hooks")
	flags.DurationVar(&config.MovePauseMax, "move-pause-max", config.MovePauseMax, "longest export of a slot that is moved, with --hooks")
	flags.DurationVar(&config.TunnelIdle, "tunnel-idle-timeout", config.TunnelIdle, "time a WebSocket may be silent, in both directions")
	flags.DurationVar(&config.StopTimeout, "command-stop-timeout", config.StopTimeout, "time the command has to end before it is killed")
	return command
}
