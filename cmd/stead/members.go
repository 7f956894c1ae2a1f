package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/api"
)

const (
	memberWaitDefault = 10 * time.Minute
	memberPoll        = 300 * time.Millisecond
)

func membersCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "members",
		Short: "List the control plane's members, add, remove or replace one",
		Long: `List the control plane's members, add, remove or replace one. A new member is a process started with an
empty --data-dir that joins an existing member; it takes part once it is asked for:

  stead control --name c4 --data-dir c4 --join 10.0.0.1:7400
  stead members add c4

It receives the log without a vote and gets one when it has caught up.`,
		Args: cobra.NoArgs,
	}
	o := newOperator(command)
	command.RunE = o.with(listMembers)
	command.AddCommand(
		memberAddCommand(o, "add NAME", "Take a new member in", cobra.ExactArgs(1)),
		memberAddCommand(o, "replace OLD NEW", "Put a new member in the place of another; NEW may be OLD, if its disk is lost", cobra.ExactArgs(2)),
		memberRemoveCommand(o),
		transferCommand(o),
	)
	return command
}

// transferCommand hands leadership on; it stands under members and under cluster.
func transferCommand(o *operator) *cobra.Command {
	return &cobra.Command{
		Use:   "transfer [NAME]",
		Short: "Hand leadership to a member, or to the one Raft prefers",
		Args:  cobra.MaximumNArgs(1),
		RunE: o.with(func(s *session, args []string) error {
			return s.TransferLeader(s.command.Context(), strings.Join(args, ""))
		}),
	}
}

func listMembers(s *session, _ []string) error {
	list, err := s.Members(s.command.Context())
	if err != nil {
		return err
	}
	return s.print(list, func(t *table) {
		t.header = []string{"NAME", "ID", "API", "VOTER", "LEADER", "ALIVE", "APPLIED", "LEVEL", "STAGE", "NOTE"}
		for _, member := range list.Members {
			t.add(member.Name, member.ID, member.API, yesNo(member.Voter), yesNo(member.Leader), yesNo(member.Alive),
				member.Applied, member.Level, member.Stage, member.Note)
		}
	})
}

// memberAddCommand is "add NAME" and "replace OLD NEW": the last argument is the new member.
func memberAddCommand(o *operator, use, short string, args cobra.PositionalArgs) *cobra.Command {
	wait := memberWait{}
	command := &cobra.Command{
		Use: use, Short: short, Args: args,
		RunE: o.with(func(s *session, args []string) error {
			name, replaces := args[len(args)-1], ""
			if len(args) > 1 {
				replaces = args[0]
			}
			if err := api.ValidateMemberName(name); err != nil {
				return usageError{err}
			}
			member, err := s.AddMember(s.command.Context(), name, replaces)
			if err != nil {
				return err
			}
			return wait.until(s, member)
		}),
	}
	wait.add(command)
	return command
}

func memberRemoveCommand(o *operator) *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME|ID",
		Short: "Take a member off the list, or withdraw that it was asked for",
		Long: `Take a member off the list, or withdraw that it was asked for. Its process ends by itself and its folder
is of no more use; its name is free. Refused where those who remain could not go on.`,
		Args: cobra.ExactArgs(1),
		RunE: o.with(func(s *session, args []string) error {
			if err := s.RemoveMember(s.command.Context(), args[0]); err != nil {
				return err
			}
			return s.print(map[string]string{"removed": args[0]}, func(t *table) { t.add(args[0], "removed") })
		}),
	}
}

// memberWait is how long a command follows a new member, if it does.
type memberWait struct {
	not   bool
	limit time.Duration
}

func (w *memberWait) add(command *cobra.Command) {
	command.Flags().BoolVar(&w.not, "no-wait", false, "return at once; stead members shows how far it is")
	command.Flags().DurationVar(&w.limit, "wait", memberWaitDefault, "how long to wait until it votes")
}

var errStillWaiting = errors.New("the member does not vote yet")

// until follows a new member until it votes and whom it replaces is gone.
func (w *memberWait) until(s *session, member api.Member) error {
	if w.not {
		return s.printMember(member)
	}
	ctx, cancel := context.WithTimeout(s.command.Context(), w.limit)
	defer cancel()
	name, replaces, said := member.Name, member.Replaces, ""
	for {
		list, err := s.Members(ctx)
		if err == nil {
			now, replaced := findMember(list, name, replaces)
			if now.Stage == api.StageVoter && !replaced && now.Replaces == "" {
				return s.printMember(now)
			}
			if said = s.sayProgress(said, now, list.Applied); now.Name == "" {
				return advisedError{fmt.Errorf("member %s is asked for no more", name), "see the members: stead members"}
			}
		}
		select {
		case <-time.After(memberPoll):
		case <-ctx.Done():
			return advisedError{fmt.Errorf("cannot wait any longer: %w", errStillWaiting), "it goes on by itself; see how far: stead members"}
		}
	}
}

// findMember finds the new member, and whether the one it replaces is listed still.
func findMember(list api.MemberList, name string, replaces api.MemberID) (now api.Member, replaced bool) {
	for _, member := range list.Members {
		if member.Name == name && (member.ID != replaces || replaces == "") {
			now = member
		}
	}
	replaced = replaces != "" && slices.ContainsFunc(list.Members, func(m api.Member) bool { return m.ID == replaces })
	return now, replaced
}

// sayProgress prints a line whenever there is something new to say.
func (s *session) sayProgress(said string, now api.Member, leader uint64) string {
	line := fmt.Sprintf("%s: %s", now.Name, now.Stage)
	switch {
	case now.Stage == api.StageCatchingUp:
		line = fmt.Sprintf("%s: catching up, %d of %d log entries", now.Name, now.Applied, leader)
	case now.Stage == api.StageVoter:
		line = fmt.Sprintf("%s: votes; %s leaves", now.Name, now.Replaces)
	}
	if now.Note != "" {
		line += ": " + now.Note
	}
	if line != said && now.Name != "" {
		s.say("%s", line)
	}
	return line
}

func (s *session) printMember(member api.Member) error {
	return s.print(member, func(t *table) { t.add(member.Name, member.ID, string(member.Stage)) })
}
