package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/api/build"
)

func versionCommand() *cobra.Command {
	var output string
	command := &cobra.Command{
		Use:   "version",
		Short: "Show which build this is",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			this := build.This()
			switch output {
			case outputJSON:
				return writeJSON(command.OutOrStdout(), this)
			case outputTable:
				_, err := fmt.Fprintln(command.OutOrStdout(), describeBuild(this))
				return err
			default:
				return usage("--output is table or json, not %q", output)
			}
		},
	}
	command.Flags().StringVarP(&output, "output", "o", outputTable, "table or json")
	completeWords(command, "output", outputTable, outputJSON)
	return command
}

func describeBuild(this build.Info) string {
	text := fmt.Sprintf("stead %s %s %s", this.Version, this.Go, this.Platform)
	if this.Revision == "" {
		return text
	}
	if this.Modified {
		return text + " " + this.Revision + " (modified)"
	}
	return text + " " + this.Revision
}
