package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Groups of the help text.
const (
	groupRun  = "run"
	groupLook = "look"
)

const rootLong = `Stead shards stateful HTTP services: every request carries a key, and reaches the one node that
holds the state of that key.

Start with "stead dev": a control plane, proxies and nodes on this machine.

Every flag --foo-bar can also be given as STEAD_FOO_BAR in the environment; the flag wins.
Data goes to stdout, messages to stderr. Exit codes: 0 done, 1 refused or failed, 2 wrong usage
(ring plan: 0 nothing to change, 1 changes, 2 failed).`

// run executes one command line and returns the exit code. SIGINT and SIGTERM end the command's
// context; a second one ends the process.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	root, started := rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	command, err := root.ExecuteContextC(ctx)
	if err != nil && !*started {
		err = usageError{err}
	}
	return report(stderr, command, err)
}

// rootCommand builds the tree. What fails before started is true failed in the command line itself.
func rootCommand() (root *cobra.Command, started *bool) {
	started = new(bool)
	root = &cobra.Command{
		Use:           "stead",
		Short:         "A sharding layer for stateful HTTP services",
		Long:          rootLong,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(command *cobra.Command, _ []string) error {
			if err := bindEnvironment(command.Flags(), os.Getenv); err != nil {
				return err
			}
			*started = true
			return nil
		},
	}
	root.AddGroup(
		&cobra.Group{ID: groupRun, Title: "Run:"},
		&cobra.Group{ID: groupLook, Title: "Look and change:"},
	)
	for _, command := range []*cobra.Command{
		devCommand(), controlCommand(), proxyCommand(), nodeCommand(), sidecarCommand(),
	} {
		command.GroupID = groupRun
		root.AddCommand(command)
	}
	for _, command := range []*cobra.Command{
		nodesCommand(), slotsCommand(), ringCommand(), clusterCommand(), membersCommand(), proxiesCommand(), explainCommand(),
		doctorCommand(), snapshotCommand(), backupCommand(), restoreCommand(), simulateCommand(),
	} {
		command.GroupID = groupLook
		root.AddCommand(command)
	}
	root.AddCommand(pkiCommand(), versionCommand())
	return root, started
}
