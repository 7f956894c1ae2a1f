package main

import (
	"fmt"
	"net/netip"
	"os"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/controlplane"
	"github.com/stead-io/stead/controlplane/access"
	"github.com/stead-io/stead/controlplane/dns"
	"github.com/stead-io/stead/controlplane/webhooks"
)

type controlFlags struct {
	serverFlags
	config    controlplane.Config
	nodeCIDRs []string
	state     stateFlags
	noKey     string
	dnsMode   string
	dnsOpen   bool
	slots     slotsFlag
	hookKey   string
}

func controlCommand() *cobra.Command {
	f := controlFlags{config: controlplane.NewConfig()}
	f.slots.bits = f.config.Settings.SlotBits
	command := &cobra.Command{
		Use:   "control",
		Short: "Run a member of the control plane",
		Long: `Run a member of the control plane. All members of a new cluster are started with the same --join,
--expect and settings; a member that has data finds the others by itself. The settings (service, state,
keys, no-key, slots, replicas and what becomes of them) are those of a cluster that is made now; an
existing one keeps its own.`,
		Example: `  stead control --name c1 --data-dir /var/lib/stead
  stead control --name c1 --data-dir c1 --listen 10.0.0.1:7400 --raft-listen 10.0.0.1:7401 \
    --join 10.0.0.1:7400,10.0.0.2:7400,10.0.0.3:7400 --expect 3 \
    --tls-cert pki/member-c1.pem --tls-key pki/member-c1-key.pem --tls-ca pki/ca.pem`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			config, err := f.complete(command)
			if err != nil {
				return err
			}
			return serve(command, &f.serverFlags, config, controlplane.Open)
		},
	}
	f.add(command)
	command.AddCommand(recoverCommand())
	return command
}

func (f *controlFlags) add(command *cobra.Command) {
	f.serverFlags.add(command)
	flags, config := command.Flags(), &f.config
	flags.StringVar(&config.Name, "name", config.Name, "name of the member")
	flags.StringVar(&config.Listen, "listen", config.Listen, "`address` of the control API")
	flags.StringVar(&config.Advertise, "advertise", config.Advertise, "`address` others reach the control API at, where it is not --listen")
	flags.StringVar(&config.RaftListen, "raft-listen", config.RaftListen, "`address` of Raft")
	flags.StringVar(&config.RaftAdvertise, "raft-advertise", config.RaftAdvertise, "`address` other members reach Raft at, where it is not --raft-listen")
	flags.StringVar(&config.DataDir, "data-dir", config.DataDir, "`folder` of the log and snapshots")
	flags.StringSliceVar(&config.Join, "join", config.Join, "control API `addresses` of all members")
	flags.IntVar(&config.Expect, "expect", config.Expect, "members to wait for before a new cluster is made")
	flags.StringVar(&config.Settings.Service, "service", config.Settings.Service, "name of the service")
	f.state.add(command)
	flags.StringSliceVar(&config.Settings.Keys, "keys", config.Settings.Keys, "key `rules`, tried in order")
	flags.StringVar(&f.noKey, "no-key", string(config.Settings.NoKey), "what becomes of requests without a key: reject, any (node) or sticky (a key in a cookie)")
	flags.Var(&f.slots, "slots", "slots of the ring, a power of two from 256 to 65536")
	flags.StringSliceVar(&f.nodeCIDRs, "node-cidr", nil, "`networks` nodes may register addresses in; without it, any")
	flags.Float64Var(&config.EvictShare, "evict-share", config.EvictShare, "share of the nodes that may lose their slots within --evict-window")
	flags.DurationVar(&config.EvictWindow, "evict-window", config.EvictWindow, "time --evict-share counts over")
	flags.DurationVar(&config.ReplaceAfter, "replace-after", config.ReplaceAfter, "time a node must be down for its slots to be copied to others, where state is not none")
	flags.DurationVar(&config.PlanDelay, "plan-delay", config.PlanDelay, "quiet after the last change of membership before slots move")
	f.addDNS(command)
	flags.StringVar(&config.SnapshotDir, "snapshot-dir", config.SnapshotDir, "`folder` of this member's own to save snapshots to; without it, none are")
	flags.DurationVar(&config.SnapshotEvery, "snapshot-every", config.SnapshotEvery, "time between snapshots, if anything changed")
	flags.IntVar(&config.SnapshotKeep, "snapshot-keep", config.SnapshotKeep, "snapshots to keep, the newest")
	flags.StringArrayVar(&config.Webhooks, "webhook", nil, "`URL` that changes are posted to, up to 8; the same on every member")
	flags.StringVar(&f.hookKey, "webhook-key-file", "", "`file` with the key that webhooks are signed with")
	f.addMembership(command)
	flags.StringVar(&f.tokenFile, "token-file", "", "`file` of who may do what by which token: lines of ROLE NAME TOKEN")
	completeWords(command, "no-key", string(api.NoKeyReject), string(api.NoKeyAny), string(api.NoKeySticky))
}

func (f *controlFlags) addDNS(command *cobra.Command) {
	flags, config := command.Flags(), &f.config.DNS
	flags.StringVar(&config.Listen, "dns-listen", config.Listen, "`address` to answer DNS for the proxies on, UDP and TCP; without it, none")
	flags.StringVar(&config.Zone, "dns-zone", config.Zone, "`name` the proxies are found under")
	flags.StringVar(&f.dnsMode, "dns-mode", string(config.Mode), "which proxies DNS answers: healthy or all")
	flags.DurationVar(&config.TTL, "dns-ttl", config.TTL, "time resolvers may keep an answer")
	flags.BoolVar(&f.dnsOpen, "insecure-dns", false, "answer DNS, and only DNS, beyond loopback")
	completeWords(command, "dns-mode", string(dns.ModeHealthy), string(dns.ModeAll))
}

// addMembership adds the flags about other members and how far they may fall behind.
func (f *controlFlags) addMembership(command *cobra.Command) {
	flags, config := command.Flags(), &f.config
	flags.DurationVar(&config.MemberDeadAfter, "member-dead-after", config.MemberDeadAfter, "silence after which a member is removed unasked, where at least three others can vote; 0: never")
	flags.DurationVar(&config.SnapshotInterval, "raft-snapshot-interval", config.SnapshotInterval, "how often it is looked whether the log is to be cut")
	flags.Uint64Var(&config.SnapshotThreshold, "raft-snapshot-threshold", config.SnapshotThreshold, "log entries past the last snapshot that make it due for another")
	flags.Uint64Var(&config.TrailingLogs, "raft-trailing-logs", config.TrailingLogs, "log entries kept behind a snapshot, for members that were away")
}

// complete turns what the flags say into the config.
func (f *controlFlags) complete(command *cobra.Command) (config controlplane.Config, err error) {
	config = f.config
	f.state.apply(command, &config.Settings)
	config.Settings.NoKey = api.NoKey(f.noKey)
	config.Settings.SlotBits = f.slots.bits
	config.DNS.Mode = dns.Mode(f.dnsMode)
	config.DNS.Security = transport.Security{Insecure: f.insecure || f.dnsOpen}
	for _, text := range f.nodeCIDRs {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return config, usageError{fmt.Errorf("invalid --node-cidr: %w", err)}
		}
		config.NodeCIDRs = append(config.NodeCIDRs, network)
	}
	if f.hookKey != "" {
		if config.WebhookKey, err = webhookKey(f.hookKey); err != nil {
			return config, usageError{fmt.Errorf("invalid --webhook-key-file: %w", err)}
		}
	}
	if config.Logger, err = f.logger(command); err != nil {
		return config, err
	}
	if config.Security, err = f.security(config.Logger); err != nil {
		return config, err
	}
	if f.tokenFile != "" {
		if config.Tokens, err = access.LoadTokens(f.tokenFile, config.Logger); err != nil {
			return config, usageError{err}
		}
	}
	return config, nil
}

func webhookKey(path string) ([]byte, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return webhooks.ParseKey(file)
}
