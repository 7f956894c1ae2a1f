package main

import (
	"context"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/api/client"
)

// completionPatience bounds how long a Tab waits for the control plane.
const completionPatience = time.Second

// completeWords offers fixed words for a flag.
func completeWords(command *cobra.Command, flag string, words ...string) {
	err := command.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic("a flag without definition has a completion: " + err.Error())
	}
}

// completeNode offers the ids of registered nodes for the first argument.
func (o *operator) completeNode(command *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	const none = cobra.ShellCompDirectiveNoFileComp
	if len(args) > 0 || bindEnvironment(command.Flags(), os.Getenv) != nil {
		return nil, none
	}
	c, err := client.New(client.Config{Members: o.control, FailFast: true})
	if err != nil {
		return nil, none
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(client.WithConsistency(context.Background(), "stale"), completionPatience)
	defer cancel()
	list, err := c.Nodes(ctx)
	if err != nil {
		return nil, none
	}
	var ids []string
	for _, node := range list.Nodes {
		ids = append(ids, string(node.ID)+"\t"+string(node.Status)+" at "+node.Address)
	}
	return ids, none
}
