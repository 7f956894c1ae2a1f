package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc"
	"github.com/stead-io/stead/nodesvc/kv"
)

// membershipFlags are what every node shares, whatever it serves.
type membershipFlags struct {
	serverFlags
	config nodesvc.Config
	id     string
	onDown string
}

func (f *membershipFlags) add(command *cobra.Command, listen *string) {
	f.serverFlags.add(command)
	f.addTokenFlag(command)
	flags, config := command.Flags(), &f.config
	flags.StringVar(&f.id, "id", string(config.ID), "name of the node for ever")
	flags.StringVar(listen, "listen", *listen, "`address` for requests")
	flags.StringVar(&config.Advertise, "advertise", config.Advertise, "`address` proxies dial, where it is not --listen")
	flags.StringVar(&config.PublicAddress, "public-address", config.PublicAddress, "`address` for clients, where it differs")
	flags.StringVar(&config.DataDir, "data-dir", config.DataDir, "`folder` for what the node keeps")
	addControlFlag(flags, &config.Control)
	flags.StringVar(&config.Zone, "zone", config.Zone, "failure domain")
	flags.IntVar(&config.Weight, "weight", config.Weight, "share of the ring beside the other nodes', 1 to 1000")
	flags.StringVar(&f.onDown, "on-down", string(config.OnDown), "what becomes of the slots when the node is gone: wait or reset")
	flags.DurationVar(&config.TTL, "ttl", config.TTL, "silence after which the node is down")
	flags.StringVar(&config.ServiceName, "service", config.ServiceName, "name of the service; a cluster of another one refuses the node")
	flags.BoolVar(&config.Replace, "replace", config.Replace, "take over the id of a node that is down, with this other store; come back after being removed")
	completeWords(command, "on-down", string(api.OnDownWait), string(api.OnDownReset))
}

// complete turns what the flags say into the config of a node.
func (f *membershipFlags) complete(command *cobra.Command) (config nodesvc.Config, err error) {
	config = f.config
	config.ID = api.NodeID(f.id)
	if err := config.ID.Validate(); err != nil {
		return config, usage("--id: %w", err)
	}
	config.OnDown = api.OnDown(f.onDown)
	if config.Logger, err = f.logger(command); err != nil {
		return config, err
	}
	if config.Security, err = f.security(config.Logger); err != nil {
		return config, err
	}
	config.Token, err = readToken(f.tokenFile, config.Logger)
	return config, err
}

// addCopyFlags adds what bounds the copying of slots between nodes.
func addCopyFlags(flags *pflag.FlagSet, config *nodesvc.Config) {
	flags.Uint64Var(&config.CopyOut, "copy-out", config.CopyOut, "`bytes` per second that copies of slots to other nodes may take; 0: no bound")
	flags.Uint64Var(&config.CopyIn, "copy-in", config.CopyIn, "`bytes` per second that copies of slots from other nodes may take; 0: no bound")
	flags.IntVar(&config.CopySlots, "copy-slots", config.CopySlots, "slots copied to other nodes at once")
}

// addRecordsFlag adds what bounds the log of a node that has one.
func addRecordsFlag(flags *pflag.FlagSet, config *nodesvc.Config) {
	flags.Uint64Var(&config.LogBytes, "log-bytes", config.LogBytes,
		"about how many `bytes` of records are kept, of all slots, for replicas that were away")
}

type nodeFlags struct {
	membershipFlags
	config kv.Config
	store  string
}

func nodeCommand() *cobra.Command {
	f := nodeFlags{config: kv.NewConfig()}
	f.membershipFlags.config = f.config.Node
	command := &cobra.Command{
		Use:   "node",
		Short: "Run a node of the key-value service",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			config, err := f.complete(command)
			if err != nil {
				return err
			}
			return serve(command, &f.serverFlags, config, kv.Open)
		},
	}
	f.membershipFlags.add(command, &f.config.Listen)
	addCopyFlags(command.Flags(), &f.membershipFlags.config)
	addRecordsFlag(command.Flags(), &f.membershipFlags.config)
	command.Flags().StringVar(&f.store, "store", string(f.config.Store), "where values are: disk, in --data-dir, or memory, with nothing on disk")
	completeWords(command, "store", string(kv.StoreDisk), string(kv.StoreMemory))
	return command
}

// complete turns what the flags say into the config. One command line may be for either store, as a service
// manager's is, so that a folder is no mistake where none is needed.
func (f *nodeFlags) complete(command *cobra.Command) (config kv.Config, err error) {
	config = f.config
	if config.Node, err = f.membershipFlags.complete(command); err != nil {
		return config, err
	}
	config.Store, config.Logger = kv.StoreKind(f.store), config.Node.Logger
	if config.Store == kv.StoreMemory && config.Node.DataDir != "" {
		config.Logger.Warn("--data-dir is not used with --store=memory: what the node holds goes with the process",
			"data_dir", config.Node.DataDir)
	}
	return config, nil
}
