package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/cmd/stead/dev"
	"github.com/stead-io/stead/controlplane/dns"
)

// Choices of --ports.
const (
	portsDefault = "default"
	portsFree    = "free"
)

// devStopTimeout bounds the end of `stead dev`; each role has its own bound below it.
const devStopTimeout = 30 * time.Second

type devFlags struct {
	config  dev.Config
	state   stateFlags
	ports   string
	dataDir string
	json    bool
}

func devCommand() *cobra.Command {
	var flags devFlags
	command := &cobra.Command{
		Use:   "dev",
		Short: "Run a whole cluster on this machine",
		Long: `Run a whole cluster on this machine, each part a process of its own: control-plane members, proxies
and key-value nodes, all on loopback. A process that dies is reported and stays dead, so that failures
can be tried with kill -9: with --replicas 2 no write is lost by one. Ctrl-C stops all.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			flags.config.State, flags.config.Replicas = flags.state.kind(command)
			return runDev(command, flags)
		},
	}
	set := command.Flags()
	set.IntVar(&flags.config.Members, "members", 3, "control-plane members")
	set.IntVar(&flags.config.Proxies, "proxies", 2, "proxies")
	set.IntVar(&flags.config.Nodes, "nodes", 3, "key-value nodes")
	flags.state.addKind(command)
	set.StringVar(&flags.ports, "ports", portsDefault, "default: the usual ports where they are free; free: any free ones")
	set.StringVar(&flags.dataDir, "data-dir", "", "`folder` for the data, kept for the next start; without it the data goes at the end")
	set.StringVar(&flags.config.LogLevel, "log-level", "info", "of every process: debug, info, warn or error")
	set.BoolVar(&flags.json, "json", false, "print one line of JSON on stdout when all is ready, and nothing else there")
	completeWords(command, "ports", portsDefault, portsFree)
	completeWords(command, "log-level", "debug", "info", "warn", "error")
	return command
}

func runDev(command *cobra.Command, flags devFlags) error {
	config, err := devConfig(flags, command.ErrOrStderr())
	if err != nil {
		return err
	}
	start := time.Now()
	cluster, err := dev.Open(command.Context(), config)
	if err != nil {
		return err
	}
	fmt.Fprintf(command.ErrOrStderr(), "ready after %v, data in %s\n", time.Since(start).Round(10*time.Millisecond), cluster.DataDir())
	err = announce(command, cluster.Summary(), flags.json, os.Args[0])
	if err == nil {
		<-command.Context().Done()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(command.Context()), devStopTimeout)
	defer cancel()
	return errors.Join(err, cluster.Close(ctx))
}

func devConfig(flags devFlags, stderr io.Writer) (dev.Config, error) {
	config, err := dev.NewConfig()
	if err != nil {
		return config, err
	}
	config.Members, config.Proxies, config.Nodes = flags.config.Members, flags.config.Proxies, flags.config.Nodes
	config.State, config.Replicas = flags.config.State, flags.config.Replicas
	config.LogLevel, config.DataDir, config.Output = flags.config.LogLevel, flags.dataDir, stderr
	if flags.ports != portsDefault && flags.ports != portsFree {
		return config, usage("--ports is default or free, not %q", flags.ports)
	}
	config.FreePorts = flags.ports == portsFree
	if _, err := newLogger(io.Discard, config.LogLevel, logText); err != nil {
		return config, err
	}
	if err := config.Validate(); err != nil {
		return config, usageError{err}
	}
	return config, nil
}

// announce prints what runs and how to use it.
func announce(command *cobra.Command, summary dev.Summary, asJSON bool, program string) error {
	if asJSON {
		return writeJSON(command.OutOrStdout(), summary)
	}
	out := command.OutOrStdout()
	if err := devTable(summary).write(out); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\n%s\n", strings.Join(devHints(summary, program), "\n"))
	return err
}

// digLine asks a member for the proxies: their addresses, or where they share one, their ports.
func digLine(summary dev.Summary) string {
	host, port, _ := net.SplitHostPort(summary.Control[0].DNS)
	hosts := map[string]bool{}
	for _, proxy := range summary.Proxies {
		if at, err := url.Parse(proxy.URL); err == nil {
			hosts[at.Hostname()] = true
		}
	}
	kind := "A"
	if len(hosts) < len(summary.Proxies) {
		kind = "SRV"
	}
	return fmt.Sprintf("dig @%s -p %s %s %s +short", host, port, strings.TrimSuffix(dns.ZoneDefault, "."), kind)
}

func devTable(summary dev.Summary) *table {
	t := &table{header: []string{"ROLE", "ID", "ADDRESS", "PID"}}
	for _, member := range summary.Control {
		t.add("control", member.ID, member.API, member.PID)
	}
	for _, proxy := range summary.Proxies {
		t.add("proxy", proxy.ID, proxy.URL, proxy.PID)
	}
	for _, node := range summary.Nodes {
		t.add("node", node.ID, node.Address, node.PID)
	}
	return t
}

// devHints are lines to paste: what one proxy writes, the next one reads.
func devHints(summary dev.Summary, program string) []string {
	var hints []string
	for i, proxy := range summary.Proxies {
		next := summary.Proxies[(i+1)%len(summary.Proxies)]
		hints = append(hints,
			fmt.Sprintf("curl -X PUT -d 'hello from %s' %s/kv/greeting-%s", proxy.ID, proxy.URL, proxy.ID),
			fmt.Sprintf("curl %s/kv/greeting-%s", next.URL, proxy.ID))
	}
	var members []string
	for _, member := range summary.Control {
		members = append(members, strings.TrimPrefix(member.API, "http://"))
	}
	if len(summary.Proxies) > 0 {
		hints = append(hints, digLine(summary))
	}
	return append(hints, "export STEAD_CONTROL="+strings.Join(members, ","), program+" nodes")
}
