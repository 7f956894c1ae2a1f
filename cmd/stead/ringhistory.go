package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/api"
)

// historyRows is how many rows a page of history has unless --limit says otherwise.
const historyRows = 20

// tookUnit is what the time a change took is rounded to.
const tookUnit = 10 * time.Millisecond

type historyFlags struct {
	versions bool
	before   uint64
	limit    int
}

func historyCommand(o *operator) *cobra.Command {
	var flags historyFlags
	command := &cobra.Command{
		Use:   "history",
		Short: "List what changed the ring, newest first",
		Long: `List the changes of the ring, newest first: when, how long it took until the ring was so, what, who
asked, which versions it made, how many slots moved. With -o json the rows are as the API writes them.`,
		Args: cobra.NoArgs,
		RunE: o.with(func(s *session, _ []string) error {
			if flags.limit < 1 {
				return usage("--limit is at least 1, not %d", flags.limit)
			}
			if flags.versions {
				return listVersions(s, flags)
			}
			return listChanges(s, flags)
		}),
	}
	command.Flags().BoolVar(&flags.versions, "versions", false, "list ring versions instead of changes")
	command.Flags().Uint64Var(&flags.before, "before", 0, "only what came before this change, or version; 0 for the newest")
	command.Flags().IntVar(&flags.limit, "limit", historyRows, "rows at most")
	return command
}

func listChanges(s *session, flags historyFlags) error {
	list, err := s.Changes(s.command.Context(), api.ChangeID(flags.before), flags.limit)
	if err != nil {
		return err
	}
	switch {
	case list.Next > 0:
		defer s.say("older: stead ring history --before %d", list.Next)
	case list.Oldest > 1:
		defer s.say("older ones are no longer kept: the oldest is change %d", list.Oldest)
	}
	return s.print(list, func(t *table) {
		t.header = []string{"CHANGE", "TIME", "TOOK", "CAUSE", "ACTOR", "VERSIONS", "STATUS", "MOVED", "REMARK"}
		for _, change := range list.Changes {
			t.add(change.ID, moment(change.Time), took(change), change.Cause, change.Actor, span(change.First, change.Last),
				change.Status, moved(change.Progress), remark(change))
		}
	})
}

// took is how long a change went on, from its recording to its end.
func took(change api.Change) string {
	if change.Finished == nil {
		return ""
	}
	return change.Finished.Sub(change.Time).Round(tookUnit).String()
}

// span names the versions a change made: "1-4", or "1-4 to 1-9".
func span(first, last api.Version) string {
	switch {
	case first == api.Version{}:
		return ""
	case first == last || last == api.Version{}:
		return first.String()
	default:
		return fmt.Sprintf("%s to %s", first, last)
	}
}

func moved(progress api.Progress) string {
	if progress.Done == progress.Total {
		return fmt.Sprint(progress.Done)
	}
	return fmt.Sprintf("%d of %d", progress.Done, progress.Total)
}

func remark(change api.Change) string {
	var remarks []string
	if change.Lossy {
		remarks = append(remarks, "lossy")
	}
	if change.LeavesState > 0 {
		remarks = append(remarks, fmt.Sprintf("leaves state of %s", plural(change.LeavesState, "slot")))
	}
	if change.Detail != "" {
		remarks = append(remarks, change.Detail)
	}
	return strings.Join(remarks, "; ")
}

func listVersions(s *session, flags historyFlags) error {
	list, err := s.Versions(s.command.Context(), flags.before, flags.limit)
	if err != nil {
		return err
	}
	if list.Next > 0 {
		defer s.say("older: stead ring history --versions --before %d", list.Next)
	}
	return s.print(list, func(t *table) {
		t.header = []string{"VERSION", "TIME", "CHANGE", "CAUSE", "SLOTS", "NODES"}
		for _, version := range list.Versions {
			change := ""
			if version.Change > 0 {
				change = fmt.Sprint(version.Change)
			}
			t.add(version.Version, moment(version.Time), change, version.Cause, version.Slots, version.Nodes)
		}
	})
}
