package main

import (
	"math/bits"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/api"
)

func clusterSetCommand(o *operator) *cobra.Command {
	var force bool
	command := &cobra.Command{
		Use:   "set NAME=VALUE...",
		Short: "Change settings of the cluster",
		Long: `Change settings of the cluster: service, state, keys (rules separated by commas), no-key (reject,
any or sticky), slots, replicas, min-in-sync, on-last-copy (wait or recreate), level. Some are fixed when the cluster is made, keys and a no-key of
sticky are guarded while nodes hold slots: changing them changes where keys live. min-in-sync and on-last-copy may change at any
time.`,
		Example: `  stead cluster set keys=header:X-Shard-Key,path:/kv/{key} --force
  stead cluster set keys=cookie:session,host:{key}.example.com,json:/user/id
  stead cluster set no-key=sticky`,
		Args:      cobra.MinimumNArgs(1),
		ValidArgs: []string{"service=", "state=", "keys=", "no-key=", "slots=", "replicas=", "min-in-sync=", "on-last-copy=", "level="},
		RunE: o.with(func(s *session, args []string) error {
			patch, err := parseSettings(args)
			if err != nil {
				return err
			}
			patch.Force = force
			changed, err := s.SetCluster(s.command.Context(), patch)
			if err != nil {
				return err
			}
			return s.printChanged(changed, theirDisks)
		}),
	}
	command.Flags().BoolVar(&force, "force", false, "change guarded settings although nodes hold slots")
	return command
}

// parseSettings reads assignments; a name may stand once.
func parseSettings(args []string) (patch api.SettingsPatch, err error) {
	seen := map[string]bool{}
	for _, arg := range args {
		name, value, found := strings.Cut(arg, "=")
		if !found || value == "" {
			return patch, usage("%q is not NAME=VALUE", arg)
		}
		if seen[name] {
			return patch, usage("%s stands twice", name)
		}
		seen[name] = true
		if err := setSetting(&patch, name, value); err != nil {
			return patch, err
		}
	}
	return patch, nil
}

func setSetting(patch *api.SettingsPatch, name, value string) (err error) {
	switch strings.ReplaceAll(name, "_", "-") { // as they are called in JSON, too
	case "service":
		patch.Service = &value
	case "state":
		patch.State = (*api.State)(&value)
	case "keys":
		patch.Keys = strings.Split(value, ",")
		if _, problem := api.ParseKeyRules(patch.Keys); problem != nil {
			return usageError{problem}
		}
	case "no-key":
		patch.NoKey = (*api.NoKey)(&value)
	case "slots":
		if patch.SlotBits, err = slotBits(value); err != nil {
			return usage("slots: %w", err)
		}
	case "replicas":
		patch.Replicas, err = number(name, value)
	case "min-in-sync":
		patch.MinInSync, err = number(name, value)
	case "on-last-copy":
		patch.OnLastCopy = (*api.OnLastCopy)(&value)
	case "level":
		patch.Level, err = number(name, value)
	default:
		return usage("%q is none of service, state, keys, no-key, slots, replicas, min-in-sync, on-last-copy, level", name)
	}
	return err
}

func number(name, text string) (*int, error) {
	value, err := strconv.Atoi(text)
	if err != nil {
		return nil, usage("%s=%s is not a number", name, text)
	}
	return &value, nil
}

// slotBits reads a number of slots as its exponent.
func slotBits(text string) (*int, error) {
	slots, err := strconv.ParseUint(text, 10, 32)
	k := bits.TrailingZeros64(slots)
	if err != nil || slots != 1<<k || k < api.SlotBitsMin || k > api.SlotBitsMax {
		return nil, usage("%q is not a power of two from %d to %d", text, 1<<api.SlotBitsMin, 1<<api.SlotBitsMax)
	}
	return &k, nil
}
