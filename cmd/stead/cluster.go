package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/api"
)

func clusterCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "cluster",
		Short: "Show the cluster, change its settings, move its leadership",
		Args:  cobra.NoArgs,
	}
	o := newOperator(command)
	command.RunE = o.with(showCluster)
	command.AddCommand(
		&cobra.Command{
			Use: "show", Short: "Show settings, members and alarms", Args: cobra.NoArgs, RunE: o.with(showCluster),
		},
		clusterSetCommand(o),
		transferCommand(o),
	)
	return command
}

func showCluster(s *session, _ []string) error {
	cluster, err := s.Cluster(s.command.Context())
	if err != nil {
		return err
	}
	if s.json {
		return writeJSON(s.stdout(), cluster)
	}
	settings := cluster.Settings
	var facts table
	facts.add("cluster", cluster.Cluster)
	facts.add("service", fmt.Sprintf("%s (state %s)", settings.Service, settings.State))
	facts.add("keys", strings.Join(settings.Keys, ", "))
	facts.add("no key", settings.NoKey)
	facts.add("ring", fmt.Sprintf("%s, %d slots, %s each, %s", cluster.Version, 1<<settings.SlotBits,
		plural(settings.Replicas, "replica"), settings.Hash))
	facts.add("unassigned", plural(cluster.Unassigned, "slot"))
	if cluster.Recovering > 0 {
		facts.add("recovering", plural(cluster.Recovering, "slot"))
	}
	facts.add("nodes", fmt.Sprintf("%d up, %d suspect, %d down, %d draining",
		cluster.Nodes.Up, cluster.Nodes.Suspect, cluster.Nodes.Down, cluster.Nodes.Draining))
	facts.add("newest change", cluster.Change)
	facts.add("term", cluster.Term)
	facts.add("level", cluster.Level)
	for _, alarm := range cluster.Alarms {
		facts.add("ALARM", alarm)
	}
	if err := facts.write(s.stdout()); err != nil {
		return err
	}
	fmt.Fprintln(s.stdout())
	members := membersTable(cluster.Members)
	return members.write(s.stdout())
}

func membersTable(members []api.Member) table {
	t := table{header: []string{"MEMBER", "API", "RAFT", "ROLE", "ALIVE", "APPLIED", "LEVEL"}}
	for _, member := range members {
		t.add(member.ID, member.API, member.Raft, memberRole(member), yesNo(member.Alive), member.Applied, member.Level)
	}
	return t
}

func memberRole(member api.Member) string {
	switch {
	case member.Leader:
		return "leader"
	case member.Voter:
		return "follower"
	default:
		return "non-voter"
	}
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}
