package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/api"
)

func proxiesCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "proxies",
		Short: "List the proxies and the ring each routes by",
		Args:  cobra.NoArgs,
	}
	command.RunE = newOperator(command).with(listProxies)
	return command
}

func listProxies(s *session, _ []string) error {
	list, err := s.Proxies(s.command.Context())
	if err != nil {
		return err
	}
	return s.print(list, func(t *table) {
		t.header = []string{"ID", "ADDRESS", "ADMIN", "STATUS", "RING", "LAG", "HEARD", "REFUSES", "TROUBLES"}
		for _, proxy := range list.Proxies {
			version, heard := proxy.Version.String(), proxy.LastBeat.String()+" ago"
			if proxy.Version == (api.Version{}) { // only the leader before heard of it
				version, heard = "", "over "+heard
			}
			t.add(proxy.ID, proxy.Address, proxy.Admin, proxy.Status, version, proxy.Lag, heard, proxy.Nack, troublesOf(proxy))
		}
	})
}

// troublesOf says at which nodes a proxy lately failed, and how often.
func troublesOf(proxy api.Proxy) string {
	var said []string
	for _, trouble := range proxy.Troubles {
		text := fmt.Sprintf("%s: %d failed", trouble.Node, trouble.Total())
		if trouble.GivenUp {
			text += ", given up"
		}
		said = append(said, text)
	}
	return strings.Join(said, "; ")
}
