package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stead-io/stead/api"
)

// What is worth a warning of a member.
const (
	clockSkewMax    = time.Second
	appliedLagMax   = 1000 // log entries
	diskFreeLow     = 0.10 // share of the disk
	diskFreeScarce  = 0.02
	diskBytesScarce = 256 << 20
)

// checkMembers: every member answers, and they agree on who they are.
func checkMembers(f *Facts, r *report) {
	var answered []Member
	for _, member := range f.Members {
		if member.Err != nil {
			r.warn(fmt.Sprintf("start member %s again, or replace it", member.Label()), "%s at %s does not answer: %v", member.Label(), member.API, cause(member.Err))
			continue
		}
		answered = append(answered, member)
	}
	for _, member := range answered {
		own := member.Own
		switch {
		case own.Cluster != f.Cluster.Cluster:
			r.fail("give members of another cluster other addresses", "%s is of another cluster, %s", member.Label(), own.Cluster)
		case own.Version.Generation != f.Cluster.Version.Generation:
			r.fail("it must not serve; replace it if it does not catch up", "%s is in generation %d, others are in %d",
				member.Label(), own.Version.Generation, f.Cluster.Version.Generation)
		case own.Leader == "":
			r.warn("look at the network between the members", "%s knows no leader", member.Label())
		case own.Leader != f.Cluster.Leader:
			r.warn("run it again; if it lasts, look at the network between the members", "%s takes %s for the leader, others %s",
				member.Label(), own.Leader, f.Cluster.Leader)
		}
	}
	for _, other := range f.Apart {
		if other.Own.Cluster == f.Cluster.Cluster {
			r.fail("stop the one that is not to go on, wipe its members, and add them anew", "at %s runs a second control plane of this cluster, led by %s in generation %d",
				other.API, other.Own.Leader, other.Own.Version.Generation)
			continue
		}
		r.fail("ask about one cluster at a time", "%s is of another cluster, %s", other.API, other.Own.Cluster)
	}
	r.ok("%d answer, %s leads, generation %d", len(answered), f.Cluster.Leader, f.Cluster.Version.Generation)
}

// checkQuorum: how many members may still fail.
func checkQuorum(f *Facts, r *report) {
	voters, answering := 0, 0
	for _, member := range f.Members {
		if member.Voter {
			voters++
			if member.Err == nil {
				answering++
			}
		}
	}
	margin := answering - (voters/2 + 1)
	switch {
	case margin < 0:
		r.fail("start the others; if they are lost for good, see docs/operating.md", "%d of %d voters answer: nothing can change", answering, voters)
	case f.Cluster.Leader == "":
		r.fail("look at the network between the members", "%d of %d voters answer, and none leads", answering, voters)
	case margin == 0 && voters == 1:
		r.warn("three members survive the loss of one", "the only member is no more than one machine")
	case margin == 0:
		r.warn("bring the missing member back, or replace it", "%d of %d voters answer: one more lost, and nothing can change", answering, voters)
	}
	r.ok("%d of %d voters answer; %d more may fail", answering, voters, margin)
}

// checkClocks: against this machine's, and so against one another's.
func checkClocks(f *Facts, r *report) {
	var least, most time.Duration
	first := true
	for _, member := range f.Members {
		if member.Err != nil {
			continue
		}
		if off := member.Ahead.Abs(); off > clockSkewMax+member.Unsure {
			r.warn("synchronise clocks (chrony, systemd-timesyncd)", "the clock of %s is %s this machine's", member.Label(), apart(member.Ahead))
		}
		if first {
			least, most, first = member.Ahead, member.Ahead, false
		}
		least, most = min(least, member.Ahead), max(most, member.Ahead)
	}
	r.ok("members' clocks are within %v of each other", (most - least).Round(time.Millisecond))
}

func apart(ahead time.Duration) string {
	if ahead < 0 {
		return fmt.Sprintf("%v behind", (-ahead).Round(time.Millisecond))
	}
	return fmt.Sprintf("%v ahead of", ahead.Round(time.Millisecond))
}

// checkLog: every member applies what the others have.
func checkLog(f *Facts, r *report) {
	most := uint64(0)
	applied := map[api.MemberID]uint64{}
	for _, member := range f.Members {
		if index, known := member.Series["stead_control_applied_index"]; known {
			applied[member.ID] = uint64(index)
			most = max(most, uint64(index))
		}
	}
	for _, member := range f.Members {
		index, known := applied[member.ID]
		switch {
		case !known:
		case most-index > appliedLagMax:
			r.warn("is its disk slow or full?", "%s has %d log entries still to apply", member.Label(), most-index)
		case member.Series["stead_control_following"] == 0:
			r.warn("is its disk slow or full?", "%s does not follow the log", member.Label())
		}
	}
	r.ok("applied up to entry %d", most)
}

// checkLevels: what all members support is what the cluster uses.
func checkLevels(f *Facts, r *report) {
	least := 0
	for _, member := range f.Members {
		if member.Level > 0 && (least == 0 || member.Level < least) {
			least = member.Level
		}
	}
	for _, member := range f.Members {
		if member.Level > least {
			r.warn("finish the upgrade", "%s supports level %d, others only %d", member.Label(), member.Level, least)
		}
	}
	if least > f.Cluster.Level {
		r.warn(fmt.Sprintf("stead cluster set level=%d", least), "the cluster stands at level %d, every member supports %d", f.Cluster.Level, least)
	}
	r.ok("level %d, the highest that all members support", f.Cluster.Level)
}

// checkBuilds: members and proxies run one build.
func checkBuilds(f *Facts, r *report) {
	running := map[string][]string{}
	for _, member := range f.Members {
		if found := member.Series.build(); found != "" {
			running[found] = append(running[found], "member "+member.Label())
		}
	}
	for _, proxy := range f.Builds {
		running[proxy.Build] = append(running[proxy.Build], proxy.Process)
	}
	names := slices.Sorted(maps.Keys(running))
	if len(names) > 1 {
		var parts []string
		for _, name := range names {
			parts = append(parts, fmt.Sprintf("%s: %s", name, few(running[name])))
		}
		r.warn("finish the upgrade", "%d builds run; %s", len(names), strings.Join(parts, "; "))
	}
	r.ok("members and proxies run %s", strings.Join(names, ""))
}

// checkDisks: a member that cannot write its log no longer counts, and a node that has no room takes no writes.
func checkDisks(f *Facts, r *report) {
	measured, least := 0, 1.0
	for _, member := range f.Members {
		free, size := member.Series["stead_control_disk_free_bytes"], member.Series["stead_control_disk_size_bytes"]
		if size == 0 {
			continue
		}
		measured++
		share := free / size
		least = min(least, share)
		const do = "make room, or move its data folder to a larger disk"
		switch {
		case share < diskFreeScarce || free < diskBytesScarce:
			r.fail(do, "the disk of %s is full: %.1f %% free, %d MiB", member.Label(), 100*share, int64(free)>>20)
		case share < diskFreeLow:
			r.warn(do, "the disk of %s is nearly full: %.1f %% free", member.Label(), 100*share)
		}
	}
	fine := "not known: no member says"
	if measured > 0 {
		fine = fmt.Sprintf("at least %.0f %% free on each member", 100*least)
	}
	if told := len(f.NodesFull); told > 0 {
		fine += fmt.Sprintf("; nodes with room enough: %d", told)
	}
	r.ok("%s", fine)
	checkNodeDisks(f, r)
}

// cause is what an error comes down to, without what was attempted.
func cause(err error) error {
	for {
		switch wrapping := err.(type) {
		case interface{ Unwrap() []error }:
			all := wrapping.Unwrap()
			if len(all) == 0 {
				return err
			}
			err = all[len(all)-1]
		case interface{ Unwrap() error }:
			inner := wrapping.Unwrap()
			if inner == nil {
				return err
			}
			err = inner
		default:
			return err
		}
	}
}

// few names the first of many.
func few(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
