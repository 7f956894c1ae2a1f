package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/api"
)

// exitChanges is the outcome of a plan that changes something; its errors exit with exitUsage.
const exitChanges = 1

type planFlags struct {
	add, remove, drain, undrain, weight []string

	rebalance, force, apply bool
	expect                  string
}

func planCommand(o *operator) *cobra.Command {
	var flags planFlags
	command := &cobra.Command{
		Use:   "plan",
		Short: "Show what changes of nodes would do to the ring, or apply them together",
		Long: `Show what changes of nodes would do to the ring; with --apply, carry them out as one change. What is
shown is exactly what applying it does, as long as nothing else changes in between: --check-change and
--expect make sure of that.

--add takes a node that is registered, drained or not, or that is not there yet; with an address the
latter is registered as a static node. --add, --weight and --rebalance spread the ring evenly, nodes that
wait with their state included; --drain and --remove move only what they must.

Exit codes: 0 nothing to change, 1 there are changes (with --apply: they were made), 2 error.`,
		Example: `  stead ring plan --add n9:weight=2,zone=b --remove n1 --drain n3
  stead ring plan --weight n2=3 --apply --check-change 41`,
		Args: cobra.NoArgs,
	}
	command.RunE = exitDetailed(o.with(func(s *session, _ []string) error { return planRing(s, flags) }))
	list := command.Flags().StringArrayVar
	list(&flags.add, "add", nil, "`node` to take slots: ID[:weight=2][,zone=b][,address=host:port][,on-down=reset]")
	list(&flags.remove, "remove", nil, "`node` to forget")
	list(&flags.drain, "drain", nil, "`node` to take the slots from")
	list(&flags.undrain, "undrain", nil, "drained `node` that may hold slots again")
	list(&flags.weight, "weight", nil, "`ID=WEIGHT` to set")
	command.Flags().BoolVar(&flags.rebalance, "rebalance", false, "even out the ring")
	command.Flags().BoolVar(&flags.force, "force", false, "give up the last copies of what removed nodes hold")
	command.Flags().BoolVar(&flags.apply, "apply", false, "carry the plan out")
	command.Flags().StringVar(&flags.expect, "expect", "", "refuse unless the plan has this `digest`")
	return command
}

// exitDetailed has every failure exit with 2, for 1 has a meaning of its own.
func exitDetailed(run func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(command *cobra.Command, args []string) error {
		err := run(command, args)
		if err == nil || errors.As(err, new(outcome)) {
			return err
		}
		return detailedError{err}
	}
}

func planRing(s *session, flags planFlags) error {
	asked, err := flags.ask()
	if err != nil {
		return err
	}
	if err := checkExpect(s, flags.expect); err != nil {
		return err
	}
	plan, err := s.plan(asked, flags.apply)
	if err != nil {
		return err
	}
	if err := s.printPlan(plan); err != nil {
		return err
	}
	switch {
	case len(plan.Blocked) > 0:
		return fmt.Errorf("%s of the plan cannot be done", plural(len(plan.Blocked), "part"))
	case plan.Changes:
		return outcome(exitChanges)
	default:
		return nil
	}
}

// checkExpect refuses the digest of a script whose variable is empty: any plan would do.
func checkExpect(s *session, digest string) error {
	if digest == "" && s.command.Flags().Changed("expect") {
		return usage("--expect is empty: any plan would be taken")
	}
	return nil
}

// plan makes a plan, and carries it out where nothing of it is blocked. One that has a key is not looked at
// before: run again it must be the same request, and what it did already must not refuse it.
func (s *session) plan(asked api.PlanAsk, apply bool) (api.RingPlan, error) {
	ctx := s.command.Context()
	asked.Apply = apply && s.named
	plan, err := s.Plan(ctx, asked)
	if err != nil || asked.Apply || !apply || len(plan.Blocked) > 0 || !plan.Changes {
		return plan, err
	}
	asked.Apply, asked.Expect = true, plan.Digest
	return s.Plan(ctx, asked)
}

// ask reads the flags.
func (f planFlags) ask() (asked api.PlanAsk, err error) {
	asked = api.PlanAsk{
		Remove: nodeIDs(f.remove), Drain: nodeIDs(f.drain), Undrain: nodeIDs(f.undrain), Weights: api.PlanWeight{},
		Rebalance: f.rebalance, Force: f.force, Expect: f.expect,
	}
	for _, text := range f.add {
		add, err := parseAdd(text)
		if err != nil {
			return asked, err
		}
		asked.Add = append(asked.Add, add)
	}
	for _, text := range f.weight {
		id, value, _ := strings.Cut(text, "=")
		weight, err := strconv.Atoi(value)
		if err != nil {
			return asked, usage("--weight %q is not ID=WEIGHT", text)
		}
		if _, twice := asked.Weights[api.NodeID(id)]; twice {
			return asked, usage("--weight names %s twice", id)
		}
		asked.Weights[api.NodeID(id)] = weight
	}
	if problem := asked.Validate(); problem != nil {
		return asked, usageError{problem}
	}
	return asked, nil
}

func nodeIDs(texts []string) (ids []api.NodeID) {
	for _, text := range texts {
		ids = append(ids, api.NodeID(text))
	}
	return ids
}

// parseAdd reads ID[:name=value[,name=value]...].
func parseAdd(text string) (add api.PlanAdd, err error) {
	id, options, more := strings.Cut(text, ":")
	add.ID = api.NodeID(id)
	if !more {
		return add, nil
	}
	seen := make(map[string]bool)
	for _, option := range strings.Split(options, ",") {
		name, value, found := strings.Cut(option, "=")
		if seen[name] || found && value == "" {
			return add, usage("--add %s: %s= stands twice, or without a value", id, name)
		}
		seen[name] = true
		if !found {
			name = "" // none of those below
		}
		switch name {
		case "weight":
			if add.Weight, err = strconv.Atoi(value); err != nil || add.Weight == 0 {
				return add, usage("--add %s: weight %q is not a number from 1", id, value)
			}
		case "zone":
			add.Zone = value
		case "address":
			add.Address = value
		case "on-down":
			add.OnDown = api.OnDown(value)
		default:
			return add, usage("--add %s: %q is none of weight=, zone=, address=, on-down=", id, option)
		}
	}
	return add, nil
}

func rollbackCommand(o *operator) *cobra.Command {
	var asked api.RollbackAsk
	command := &cobra.Command{
		Use:   "rollback CHANGE",
		Short: "Go back to the ring that a change wanted",
		Long: `Give every slot back to the node that a change (stead ring history) gave it to, as a new change. Where
that node is gone, another takes the slot. Weights, zones and settings stay as they are now.`,
		Args: cobra.ExactArgs(1),
		RunE: o.with(func(s *session, args []string) error {
			id, err := strconv.ParseUint(strings.TrimPrefix(args[0], "c"), 10, 53)
			if err != nil || id == 0 {
				return usage("%q is not a change such as 41", args[0])
			}
			asked.Change = api.ChangeID(id)
			if err := checkExpect(s, asked.Expect); err != nil {
				return err
			}
			plan, err := s.Rollback(s.command.Context(), asked)
			if err != nil {
				return err
			}
			return s.printPlan(plan)
		}),
	}
	command.Flags().BoolVar(&asked.DryRun, "dry-run", false, "only show what it would do")
	command.Flags().StringVar(&asked.Expect, "expect", "", "refuse unless the plan has this `digest`")
	return command
}
