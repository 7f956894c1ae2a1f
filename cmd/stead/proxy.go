package main

import (
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/dataplane"
)

type proxyFlags struct {
	serverFlags
	config          dataplane.Config
	id              string
	onMove          string
	file            string
	insecureClients bool
	trail           trailFlags
	clientTLS       clientTLSFlags
}

// reloaded are the flags whose values may change while the proxy runs.
var reloaded = []string{"log-level", "stop-timeout", "deadline", "stream-timeout", "idle-timeout", "drain-delay", "body-max", "connections",
	"head-timeout", "conns-per-ip", "rate-min", "client-tls-cert", "client-tls-key"}

func proxyCommand() *cobra.Command {
	f := proxyFlags{config: dataplane.NewConfig()}
	command := &cobra.Command{
		Use:   "proxy",
		Short: "Run a proxy: requests to the node that holds their key",
		Long: `Run a proxy: requests to the node that holds their key.

--config names a file with one setting a line, NAME = VALUE, named like the flags; flags and environment go before it.
SIGHUP has the file read anew. SIGUSR2 has the program that is there now take over, sockets and all, without a pause.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return f.run(command) },
	}
	f.add(command)
	return command
}

func (f *proxyFlags) add(command *cobra.Command) {
	f.serverFlags.add(command)
	f.addTokenFlag(command)
	flags, config := command.Flags(), &f.config
	flags.StringVar(&f.file, "config", "", "`file` of settings, for what neither flags nor environment say; read anew at SIGHUP")
	flags.StringVar(&f.id, "id", string(config.ID), "name of the proxy in the fleet; without it one is drawn")
	flags.StringVar(&config.Listen, "listen", config.Listen, "`address` for clients")
	flags.StringVar(&config.Advertise, "advertise", config.Advertise, "`address` clients reach it at, where it is not --listen")
	flags.StringVar(&config.AdminListen, "admin-listen", config.AdminListen, "`address` of health, metrics and routes")
	flags.StringVar(&config.DataDir, "data-dir", config.DataDir, "`folder` for the last ring, to start from when the control plane is away")
	addControlFlag(flags, &config.Control)
	flags.StringSliceVar(&config.KeyRules, "key", nil, "key `rules` the cluster must have; the proxy stops when it has others")
	flags.BoolVar(&f.insecureClients, "insecure-clients", false, "listen for clients, and only for them, beyond loopback without TLS")
	flags.DurationVar(&config.Deadline, "deadline", config.Deadline, "time a node has for the first octet of its answer")
	flags.DurationVar(&config.HeadTimeout, "head-timeout", config.HeadTimeout, "time a client has for the head of a request, from its first octet")
	flags.DurationVar(&config.StreamTimeout, "stream-timeout", config.StreamTimeout, "time a body may stand still")
	flags.DurationVar(&config.IdleTimeout, "idle-timeout", config.IdleTimeout, "time a client may be silent between requests")
	flags.StringVar(&f.onMove, "on-move", string(config.OnMove), "what becomes of WebSockets whose slot moves: close or hold")
	completeWords(command, "on-move", string(dataplane.OnMoveClose), string(dataplane.OnMoveHold))
	flags.DurationVar(&config.TunnelIdle, "tunnel-idle-timeout", config.TunnelIdle, "time a WebSocket may be silent, in both directions")
	flags.DurationVar(&config.DrainDelay, "drain-delay", config.DrainDelay, "time to serve on after leaving DNS; twice its ttl where clients come by it")
	flags.StringVar(&config.Mux, "mux", config.Mux, "auto: requests share connections to nodes that know how; off: they never do")
	flags.Int64Var(&config.BodyMax, "body-max", config.BodyMax, "octets of the longest body that is passed on")
	flags.IntVar(&config.Connections, "connections", config.Connections, "clients that are served at a time")
	f.clientTLS.add(command)
	f.trail.add(command, config)
	flags.IntVar(&config.ConnectionsPerAddress, "conns-per-ip", config.ConnectionsPerAddress, "clients of one IPv4 address, or /64 of IPv6, served at a time; 0: all")
	flags.IntVar(&config.RateMin, "rate-min", config.RateMin, "octets a second, below which a body that took twice --stream-timeout is cut off; 0: none")
	for _, name := range reloaded {
		note(flags.Lookup(name), reloadNote, "yes")
	}
}

// settings are what the flags say by themselves, without what has to be read for them.
func (f *proxyFlags) settings() dataplane.Config {
	config := f.config
	config.ID, config.OnMove = api.ProxyID(f.id), dataplane.OnMove(f.onMove)
	return config
}

// check reports flags that do not go together.
func (f *proxyFlags) check() error {
	if f.config.DrainDelay >= f.stopTimeout {
		return usage("--drain-delay %v leaves nothing of --stop-timeout %v to finish requests in", f.config.DrainDelay, f.stopTimeout)
	}
	if err := new(slog.Level).UnmarshalText([]byte(f.logLevel)); err != nil {
		return usage(levelUsage, f.logLevel)
	}
	return f.clientTLS.check(f.insecureClients)
}

func (f *proxyFlags) complete(command *cobra.Command) (config dataplane.Config, err error) {
	config = f.settings()
	if err = f.check(); err != nil {
		return config, err
	}
	if config.Logger, err = f.logger(command); err != nil {
		return config, err
	}
	if config.Security, err = f.security(config.Logger); err != nil {
		return config, err
	}
	if err = f.trail.complete(&config); err != nil {
		return config, err
	}
	if err = f.clientTLS.load(config.Logger); err != nil {
		return config, err
	}
	config.SecurityClients = transport.Security{Insecure: f.insecure || f.insecureClients, Certificate: f.clientTLS.loaded}
	config.Token, err = readToken(f.tokenFile, config.Logger)
	return config, err
}
