package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker for releases; other builds go by what Go recorded.
var version string

// build is what `stead version` says.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // of the source
	Modified bool   `json:"modified,omitempty"` // the source differed from the revision
	Time     string `json:"time,omitempty"`     // of the revision
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func versionCommand() *cobra.Command {
	var output string
	command := &cobra.Command{
		Use:   "version",
		Short: "Show which build this is",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			this := thisBuild()
			switch output {
			case outputJSON:
				return writeJSON(command.OutOrStdout(), this)
			case outputTable:
				_, err := fmt.Fprintln(command.OutOrStdout(), this)
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

func thisBuild() build {
	this := build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return this
	}
	if this.Version == "" {
		this.Version = info.Main.Version
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			this.Revision = setting.Value
		case "vcs.modified":
			this.Modified = setting.Value == "true"
		case "vcs.time":
			this.Time = setting.Value
		}
	}
	return this
}

func (b build) String() string {
	text := fmt.Sprintf("stead %s %s %s", b.Version, b.Go, b.Platform)
	if b.Revision == "" {
		return text
	}
	if b.Modified {
		return text + " " + b.Revision + " (modified)"
	}
	return text + " " + b.Revision
}
