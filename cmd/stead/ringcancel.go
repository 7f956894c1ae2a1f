package main

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/api"
)

func cancelCommand(o *operator) *cobra.Command {
	return &cobra.Command{
		Use:   "cancel CHANGE",
		Short: "End a change under way; what it has not moved stays where it is",
		Args:  cobra.ExactArgs(1),
		RunE: o.with(func(s *session, args []string) error {
			id, err := strconv.ParseUint(strings.TrimPrefix(args[0], "c"), 10, 53)
			if err != nil || id == 0 {
				return usage("%q is not a change such as c12", args[0])
			}
			changed, err := s.CancelChange(s.command.Context(), api.ChangeID(id))
			if err != nil {
				return err
			}
			return s.printChanged(changed, theirDisks)
		}),
	}
}
