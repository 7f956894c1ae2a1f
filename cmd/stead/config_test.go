package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane"
	"github.com/stead-io/stead/dataplane"
	"github.com/stead-io/stead/nodesvc"
)

// parse gives a command a line of flags.
func parse(t *testing.T, line string, add func(*cobra.Command)) *cobra.Command {
	t.Helper()
	command := &cobra.Command{}
	add(command)
	if err := command.ParseFlags(strings.Fields(line)); err != nil {
		t.Fatal(err)
	}
	return command
}

func TestControlConfig(t *testing.T) {
	f := controlFlags{config: controlplane.NewConfig()}
	command := parse(t, "--name c2 --listen h:1 --advertise h:2 --raft-listen h:3 --raft-advertise h:4 --data-dir d --join a:1,b:1 --join c:1"+
		" --expect 3 --service kv --state none --keys query:tenant,path:/x/{key} --no-key any --slots 256 --replicas 1"+
		" --node-cidr 10.0.0.0/8,192.168.0.0/16 --evict-share 0.5 --evict-window 2m --plan-delay 1s --insecure", f.add)
	c, err := f.complete(command)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintln(c.Name, c.Listen, c.Advertise, c.RaftListen, c.RaftAdvertise, c.DataDir, c.Join, c.Expect, c.Settings.Service,
		c.Settings.State, c.Settings.Keys, c.Settings.NoKey, c.Settings.SlotBits, c.Settings.Replicas, c.NodeCIDRs, c.EvictShare,
		c.EvictWindow, c.PlanDelay, c.Security)
	want := fmt.Sprintln("c2", "h:1", "h:2", "h:3", "h:4", "d", []string{"a:1", "b:1", "c:1"}, 3, "kv", api.StateNone,
		[]string{"query:tenant", "path:/x/{key}"}, api.NoKeyAny, 8, 1, "[10.0.0.0/8 192.168.0.0/16]", 0.5, "2m0s", "1s", "{true <nil> <nil>}")
	if got != want || c.Logger == nil {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

func TestDNSConfig(t *testing.T) {
	f := func(line, want string, ok bool) {
		t.Helper()
		flags := controlFlags{config: controlplane.NewConfig()}
		c, err := flags.complete(parse(t, "--data-dir d --slots 4096 "+line, flags.add))
		if err != nil {
			t.Fatal(err)
		}
		d := c.DNS
		if got := fmt.Sprint(d.Listen, " ", d.Zone, " ", d.Mode, " ", d.TTL, " ", d.Security.Insecure, " ", c.Security.Insecure); got != want {
			t.Errorf("%q gives %s, want %s", line, got, want)
		}
		if err := c.Validate(); (err == nil) != ok {
			t.Errorf("%q: %v", line, err)
		}
	}
	f("", " proxy.stead. healthy 5s false false", true)
	f("--dns-listen 127.0.0.1:53 --dns-zone x.example --dns-mode all --dns-ttl 30s", "127.0.0.1:53 x.example all 30s false false", true)
	f("--dns-listen 0.0.0.0:53", "0.0.0.0:53 proxy.stead. healthy 5s false false", false)
	f("--dns-listen 0.0.0.0:53 --insecure-dns", "0.0.0.0:53 proxy.stead. healthy 5s true false", true)
	f("--dns-listen 0.0.0.0:53 --insecure", "0.0.0.0:53 proxy.stead. healthy 5s true true", true)
	f("--dns-mode some", " proxy.stead. some 5s false false", false)
	f("--dns-ttl 10ms", " proxy.stead. healthy 10ms false false", false)
}

func TestDrainDelayWithinStopTimeout(t *testing.T) {
	f := func(line string, ok bool) {
		t.Helper()
		flags := proxyFlags{config: dataplane.NewConfig()}
		if _, err := flags.complete(parse(t, line, flags.add)); (err == nil) != ok {
			t.Errorf("%q: %v", line, err)
		}
	}
	f("--drain-delay 10s", true)
	f("--drain-delay 30s", false)
	f("--drain-delay 30s --stop-timeout 40s", true)
}

func TestProxyConfig(t *testing.T) {
	f := proxyFlags{config: dataplane.NewConfig()}
	command := parse(t, "--id p7 --listen h:1 --advertise h:2 --admin-listen h:3 --data-dir d --control a:1,b:1 --key header:X-Shard-Key"+
		" --insecure-clients --deadline 3s --on-move hold --tunnel-idle-timeout 1h", f.add)
	c, err := f.complete(command)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintln(c.ID, c.Listen, c.Advertise, c.AdminListen, c.DataDir, c.Control, c.KeyRules, c.Security, c.SecurityClients, c.Deadline,
		c.OnMove, c.TunnelIdle)
	want := fmt.Sprintln("p7", "h:1", "h:2", "h:3", "d", []string{"a:1", "b:1"}, []string{"header:X-Shard-Key"}, "{false <nil> <nil>}", "{true <nil> <nil>}", "3s",
		"hold", "1h0m0s")
	if got != want || c.Logger == nil {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

func TestNodeConfig(t *testing.T) {
	f := membershipFlags{config: nodesvc.NewConfig()}
	var listen string
	command := parse(t, "--id n7 --listen h:1 --advertise h:2 --public-address h:3 --data-dir d --control a:1 --zone z --weight 5"+
		" --on-down reset --ttl 5s --service kv --replace --insecure", func(command *cobra.Command) { f.add(command, &listen) })
	c, err := f.complete(command)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintln(c.ID, listen, c.Advertise, c.PublicAddress, c.DataDir, c.Control, c.Zone, c.Weight, c.OnDown, c.TTL, c.ServiceName, c.Replace, c.Security)
	want := fmt.Sprintln("n7", "h:1", "h:2", "h:3", "d", []string{"a:1"}, "z", 5, api.OnDownReset, "5s", "kv", true, "{true <nil> <nil>}")
	if got != want || c.Logger == nil {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

// The defaults that the commands show are those of the roots, and every server can be told where the
// control plane is, how to log and how long to take for stopping.
func TestServersShareFlags(t *testing.T) {
	f := func(command *cobra.Command, flags ...string) {
		t.Helper()
		for _, name := range flags {
			if command.Flags().Lookup(name) == nil {
				t.Errorf("%s has no --%s", command.Name(), name)
			}
		}
		command.Flags().VisitAll(func(flag *pflag.Flag) {
			if flag.Usage == "" {
				t.Errorf("%s --%s is not explained", command.Name(), flag.Name)
			}
		})
	}
	shared := []string{"log-level", "log-format", "stop-timeout", "insecure", "listen", "advertise", "data-dir"}
	f(controlCommand(), append(shared, "join")...)
	f(proxyCommand(), append(shared, "control")...)
	f(nodeCommand(), append(shared, "control", "store")...)
	f(sidecarCommand(), append(shared, "control", "upstream", "health")...)
}

func TestStateFlags(t *testing.T) {
	f := func(line, want string) {
		t.Helper()
		flags := controlFlags{config: controlplane.NewConfig()}
		c, err := flags.complete(parse(t, "--data-dir d --slots 4096 "+line, flags.add))
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(c.Settings.State, " ", c.Settings.Replicas, " ", c.Settings.MinInSync, " ", c.Settings.OnLastCopy)
		if got != want {
			t.Errorf("%q gives %q, want %q", line, got, want)
		}
		if err := c.Validate(); err != nil {
			t.Errorf("%q: %v", line, err)
		}
	}
	f("", "managed 2 0 ")
	f("--replicas 3 --min-in-sync 2 --on-last-copy recreate", "managed 3 2 recreate")
	f("--min-in-sync 1 --on-last-copy wait", "managed 2 0 ")
	f("--state none", "none 1 0 ")
	f("--state hooks", "hooks 1 0 ")
	f("--state none --replicas 1", "none 1 0 ")
}
