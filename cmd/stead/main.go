// Command stead is all of Stead in one binary: control-plane member, proxy, node, sidecar, a whole
// cluster on this machine, and what operators ask and change. Each subcommand has a file of its own
// that turns flags into a Config, opens, waits and closes; what is served and how lives elsewhere.
package main

import (
	"os"

	"github.com/stead-io/stead/cmd/stead/slack"
)

func main() {
	if serves(os.Args[1:]) {
		slack.Relax()
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
