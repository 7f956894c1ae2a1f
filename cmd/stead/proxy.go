package main

import (
	"github.com/spf13/cobra"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/dataplane"
)

type proxyFlags struct {
	serverFlags
	config          dataplane.Config
	id              string
	insecureClients bool
}

func proxyCommand() *cobra.Command {
	f := proxyFlags{config: dataplane.NewConfig()}
	command := &cobra.Command{
		Use:   "proxy",
		Short: "Run a proxy: requests to the node that holds their key",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			config, err := f.complete(command)
			if err != nil {
				return err
			}
			return serve(command, &f.serverFlags, config, dataplane.Open)
		},
	}
	f.add(command)
	return command
}

func (f *proxyFlags) add(command *cobra.Command) {
	f.serverFlags.add(command)
	f.addTokenFlag(command)
	flags, config := command.Flags(), &f.config
	flags.StringVar(&f.id, "id", string(config.ID), "name of the proxy in the fleet; without it one is drawn")
	flags.StringVar(&config.Listen, "listen", config.Listen, "`address` for clients")
	flags.StringVar(&config.Advertise, "advertise", config.Advertise, "`address` clients reach it at, where it is not --listen")
	flags.StringVar(&config.AdminListen, "admin-listen", config.AdminListen, "`address` of health, metrics and routes")
	flags.StringVar(&config.DataDir, "data-dir", config.DataDir, "`folder` for the last ring, to start from when the control plane is away")
	addControlFlag(flags, &config.Control)
	flags.StringSliceVar(&config.KeyRules, "key", nil, "key `rules` the cluster must have; the proxy stops when it has others")
	flags.BoolVar(&f.insecureClients, "insecure-clients", false, "listen for clients, and only for them, beyond loopback without TLS")
	flags.DurationVar(&config.Deadline, "deadline", config.Deadline, "time a node has for the first octet of its answer")
	flags.DurationVar(&config.StreamTimeout, "stream-timeout", config.StreamTimeout, "time a body may stand still")
	flags.DurationVar(&config.IdleTimeout, "idle-timeout", config.IdleTimeout, "time a client may be silent between requests")
	flags.DurationVar(&config.DrainDelay, "drain-delay", config.DrainDelay, "time to serve on after leaving DNS; twice its ttl where clients come by it")
	flags.Int64Var(&config.BodyMax, "body-max", config.BodyMax, "octets of the longest body that is passed on")
	flags.IntVar(&config.Connections, "connections", config.Connections, "clients that are served at a time")
}

func (f *proxyFlags) complete(command *cobra.Command) (config dataplane.Config, err error) {
	config = f.config
	config.ID = api.ProxyID(f.id)
	if config.Logger, err = f.logger(command); err != nil {
		return config, err
	}
	if config.Security, err = f.security(config.Logger); err != nil {
		return config, err
	}
	config.SecurityClients = transport.Security{Insecure: f.insecure || f.insecureClients}
	if config.DrainDelay >= f.stopTimeout {
		return config, usage("--drain-delay %v leaves nothing of --stop-timeout %v to finish requests in", config.DrainDelay, f.stopTimeout)
	}
	config.Token, err = readToken(f.tokenFile, config.Logger)
	return config, err
}
