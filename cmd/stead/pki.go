package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/cmd/stead/pki"
)

func pkiCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "pki",
		Short: "Make certificates, for those without a CA of their own",
		Long: `Make certificates, for those without a CA of their own. A cluster has a CA to itself: whoever has a
certificate from it is what the certificate says. The CA's key stays where it was made.`,
		Example: `  stead pki init --dir pki
  stead pki issue --dir pki member c1
  stead pki issue --dir pki node n1
  stead pki issue --dir pki operator ann --out ann`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	var folder string
	command.PersistentFlags().StringVar(&folder, "dir", "pki", "`folder` of the CA")
	command.AddCommand(pkiInitCommand(&folder), pkiIssueCommand(&folder))
	return command
}

func pkiInitCommand(folder *string) *cobra.Command {
	var name string
	var days int
	command := &cobra.Command{
		Use:   "init",
		Short: "Make a CA",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := pki.Init(*folder, name, days, time.Now()); err != nil {
				return err
			}
			command.PrintErrf("%s/%s goes to every machine; %s/%s to none\n", *folder, pki.CAName, *folder, pki.CAKeyName)
			return nil
		},
	}
	command.Flags().StringVar(&name, "name", "Stead CA", "name of the CA")
	command.Flags().IntVar(&days, "days", pki.DaysCADefault, "days the CA is valid")
	return command
}

func pkiIssueCommand(folder *string) *cobra.Command {
	request := pki.Request{Days: pki.DaysLeafDefault}
	var out string
	command := &cobra.Command{
		Use:   "issue ROLE NAME",
		Short: "Make a certificate and its key",
		Long: `Make a certificate and its key. ROLE is member, proxy, node, operator or reader; NAME is the member's
name, the proxy's or node's id, or who a person or program is. Prints the flags to use them with.`,
		Args: cobra.ExactArgs(2),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var words []string
			for _, role := range transport.Roles {
				if len(args) == 0 {
					words = append(words, string(role))
				}
			}
			return words, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(command *cobra.Command, args []string) (err error) {
			if request.Role, err = transport.ParseRole(args[0]); err != nil {
				return usageError{err}
			}
			request.Name = args[1]
			if out == "" {
				out = *folder
			}
			issued, err := pki.Issue(*folder, out, request, time.Now())
			if err != nil {
				return err
			}
			command.Printf("--tls-cert %s --tls-key %s --tls-ca %s\n", issued.Cert, issued.Key, issued.CA)
			return nil
		},
	}
	command.Flags().StringArrayVar(&request.Hosts, "host", nil, "`name` or IP it is reached at, for clients that check it, such as curl; may be repeated")
	command.Flags().IntVar(&request.Days, "days", request.Days, "days it is valid")
	command.Flags().StringVar(&out, "out", "", "`folder` for the files (default --dir)")
	return command
}
