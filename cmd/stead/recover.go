package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/controlplane"
)

const recoverLong = `Make one member the only one of its cluster, when the majority is lost for good. Run it where that member's
folder is, while the member is stopped; then start the member with its usual flags, and add others anew.

Prefer the member with the highest last index (--dry-run shows it). What it does cannot be undone:
- entries that no majority confirmed count as done, and what only the lost members had is lost;
- the other members of the old cluster must never run again: wipe their folders. One that hears of the recovered
  cluster ends by itself, but two that meet without it could form a second control plane;
- a new generation begins, and each slot whose node can report what it last held answers 503 until that node has.`

func recoverCommand() *cobra.Command {
	var (
		config        controlplane.RecoverConfig
		yes           bool
		level, format string
	)
	command := &cobra.Command{
		Use:     "recover",
		Short:   "Let one member go on alone after the majority was lost",
		Long:    recoverLong,
		Example: "  stead control recover --name c3 --data-dir /var/lib/stead --dry-run",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) (err error) {
			if config.Name == "" || config.DataDir == "" {
				return usage("--name and --data-dir say which member it is")
			}
			if config.Logger, err = newLogger(command.ErrOrStderr(), level, format); err != nil {
				return err
			}
			config.Actor = defaultActor()
			if err := showMember(command, config); err != nil || config.DryRun {
				return err
			}
			return recoverMember(command, config, yes)
		},
	}
	flags := command.Flags()
	flags.StringVar(&config.Name, "name", "", "name of the member")
	flags.StringVar(&config.DataDir, "data-dir", "", "`folder` of the member")
	flags.BoolVar(&config.DryRun, "dry-run", false, "only show what the folder holds")
	flags.BoolVar(&yes, "yes", false, "don't ask")
	addLogFlags(command, &level, &format)
	return command
}

// showMember prints what the folder holds, so that members can be compared.
func showMember(command *cobra.Command, config controlplane.RecoverConfig) error {
	config.DryRun = true
	found, err := controlplane.Recover(config)
	if err != nil {
		return err
	}
	var members []string
	for _, id := range found.Members {
		members = append(members, string(id))
	}
	fmt.Fprintf(command.OutOrStdout(), "member %s: last index %d of term %d; members %s\n",
		found.Member, found.LastIndex, found.LastTerm, strings.Join(members, ", "))
	return nil
}

func recoverMember(command *cobra.Command, config controlplane.RecoverConfig, yes bool) error {
	_, warning, _ := strings.Cut(recoverLong, "\n\n")
	fmt.Fprintln(command.ErrOrStderr(), warning)
	if err := confirm(command, fmt.Sprintf("Let %s go on alone?", config.Name), yes); err != nil {
		return err
	}
	done, err := controlplane.Recover(config)
	if err != nil {
		return err
	}
	fmt.Fprintf(command.OutOrStdout(), "recovered cluster %s: ring %s became %s, %d slots wait for reports; noted in recovered.json\n",
		done.Cluster, done.From, done.To, done.Waiting)
	return nil
}
