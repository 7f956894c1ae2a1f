package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/api"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// usageError says that the command line itself cannot stand.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// outcome is an exit code that says what was found, and is no failure.
type outcome int

func (o outcome) Error() string { return fmt.Sprintf("exit code %d", int(o)) }

// detailedError is a failure of a command whose exit code 1 is an outcome.
type detailedError struct{ error }

func (e detailedError) Unwrap() error { return e.error }

// usage makes a usage error.
func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// advisedError is an error that knows what to do about it.
type advisedError struct {
	error
	next string
}

func (e advisedError) Unwrap() error { return e.error }

// advice is what to do about a refusal whose answer doesn't say so itself.
var advice = map[api.Code]string{
	api.CodeNodeUnknown:    "list the nodes there are: stead nodes",
	api.CodeVersionGone:    "list the versions kept: stead ring history --versions",
	api.CodeVersionUnknown: "list the versions there are: stead ring history --versions",
	api.CodeChangeGone:     "list the changes kept: stead ring history",
	api.CodeChangeUnknown:  "list the changes there are: stead ring history",
	api.CodeLastCopy:       "give the state up: add --force",
	api.CodeSettingGuarded: "move keys knowingly: add --force",
	api.CodeMemberUnknown:  "list the members there are: stead members",
	api.CodeNoLeader:       "see which members live: stead cluster --consistency stale",
	api.CodePrecondition:   "see what changed: stead ring history",
	api.CodePlanStale:      "look at the plan again, without --apply",
	api.CodeAmbiguous:      "see whether it was applied: stead ring history",
}

// report prints an error, its code and what to do next, and returns the exit code.
func report(stderr io.Writer, command *cobra.Command, err error) int {
	if err == nil {
		return exitDone
	}
	var found outcome
	if errors.As(err, &found) {
		return int(found)
	}
	fmt.Fprintf(stderr, "stead: %v\n", err)
	if next := nextStep(err); next != "" {
		fmt.Fprintf(stderr, "next:  %s\n", next)
	}
	if errors.As(err, new(usageError)) {
		fmt.Fprintf(stderr, "usage: %s --help\n", command.CommandPath())
		return exitUsage
	}
	if errors.As(err, new(detailedError)) {
		return exitUsage
	}
	return exitFailed
}

func nextStep(err error) string {
	var advised advisedError
	if errors.As(err, &advised) {
		return advised.next
	}
	var problem *api.Problem
	if errors.As(err, &problem) && problem.Next != "" {
		return problem.Next
	}
	return advice[api.CodeOf(err)]
}
