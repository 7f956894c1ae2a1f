package main

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// environmentPrefix begins the name of every variable that stands for a flag.
const environmentPrefix = "STEAD_"

// notFromEnvironment are flags that only make sense on a command line.
var notFromEnvironment = map[string]bool{"help": true, "version": true}

// variableOf names the variable of a flag: STEAD_FOO_BAR for --foo-bar.
func variableOf(flag string) string {
	return environmentPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// bindEnvironment sets every flag that the command line left alone from its variable; an empty one
// counts as not set.
func bindEnvironment(flags *pflag.FlagSet, lookup func(string) string) (err error) {
	flags.VisitAll(func(flag *pflag.Flag) {
		value := lookup(variableOf(flag.Name))
		if err != nil || flag.Changed || value == "" || notFromEnvironment[flag.Name] {
			return
		}
		if failed := flags.Set(flag.Name, value); failed != nil {
			err = fmt.Errorf("cannot use %s: %w", variableOf(flag.Name), failed)
		}
		setSource(flag, sourceEnvironment)
	})
	return err
}
