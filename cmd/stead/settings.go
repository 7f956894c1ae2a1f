package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/stead-io/stead/dataplane"
)

// Where the value of a flag may come from, if it is not the command line.
const (
	sourceFlag        = "flag"
	sourceEnvironment = "environment"
	sourceFile        = "file"
	sourceDefault     = "default"
)

// sourceNote annotates flags that were set by something else than the command line; reloadNote those whose
// values may change while the process runs.
const (
	sourceNote = "source"
	reloadNote = "reload"
)

// notInFile are flags that a configuration file cannot set.
var notInFile = map[string]bool{"help": true, "config": true}

// settingsFileMax bounds a configuration file, in octets.
const settingsFileMax = 1 << 20

func note(flag *pflag.Flag, name, value string) {
	if flag.Annotations == nil {
		flag.Annotations = make(map[string][]string)
	}
	flag.Annotations[name] = []string{value}
}

func setSource(flag *pflag.Flag, source string) { note(flag, sourceNote, source) }

// sourceOf says who set a flag.
func sourceOf(flag *pflag.Flag) string {
	switch noted := flag.Annotations[sourceNote]; {
	case !flag.Changed:
		return sourceDefault
	case len(noted) > 0:
		return noted[0]
	default:
		return sourceFlag
	}
}

// readSettings sets every flag that neither command line nor environment set from a file of lines NAME = VALUE, where
// names are those of flags without --, and # begins a line that is not for us. It stops at the first line that cannot
// stand: flags may have been set by then.
func readSettings(flags *pflag.FlagSet, path string) error {
	info, err := os.Stat(path)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > settingsFileMax) {
		err = fmt.Errorf("%s is not a file of at most %d octets", path, settingsFileMax)
	}
	if err != nil {
		return fmt.Errorf("cannot read the configuration: %w", err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("cannot read the configuration: %w", err)
	}
	seen, number := make(map[string]int), 0
	for line := range strings.Lines(string(content)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, _ := strings.Cut(line, "=")
		name = strings.TrimSpace(name)
		if before := seen[name]; before > 0 {
			err = fmt.Errorf("%s stands in line %d too", name, before)
		} else {
			err = readSetting(flags, line, name, strings.TrimSpace(value))
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", path, number, err)
		}
		seen[name] = number
	}
	return nil
}

func readSetting(flags *pflag.FlagSet, line, name, value string) error {
	if !strings.Contains(line, "=") {
		return fmt.Errorf("%q is not NAME = VALUE", line)
	}
	flag := flags.Lookup(name)
	if flag == nil || notInFile[name] {
		return fmt.Errorf("there is no setting %q", name)
	}
	if strings.HasPrefix(value, `"`) || strings.HasPrefix(value, "'") {
		return fmt.Errorf("the value of %s stands in quotes; values go without", name)
	}
	if flag.Changed {
		return nil
	}
	if list, ok := flag.Value.(pflag.SliceValue); ok {
		_ = list.Replace(nil) // or, once it was set, it would grow
	}
	if err := flags.Set(name, value); err != nil {
		return err
	}
	setSource(flag, sourceFile)
	return nil
}

// layer is what flags were at one time.
type layer map[string]flagState

type flagState struct {
	values  []string
	changed bool
	source  []string
}

// layerOf remembers what flags are.
func layerOf(flags *pflag.FlagSet) layer {
	l := make(layer)
	flags.VisitAll(func(flag *pflag.Flag) {
		l[flag.Name] = flagState{values: valuesOf(flag), changed: flag.Changed, source: flag.Annotations[sourceNote]}
	})
	return l
}

func valuesOf(flag *pflag.Flag) []string {
	if list, ok := flag.Value.(pflag.SliceValue); ok {
		return slices.Clone(list.GetSlice())
	}
	return []string{flag.Value.String()}
}

// restore makes one flag again what it was. What a flag said once it can be told.
func (l layer) restore(flag *pflag.Flag) {
	was := l[flag.Name]
	if list, ok := flag.Value.(pflag.SliceValue); ok {
		_ = list.Replace(was.values)
	} else {
		_ = flag.Value.Set(was.values[0])
	}
	flag.Changed = was.changed
	delete(flag.Annotations, sourceNote)
	if len(was.source) > 0 {
		setSource(flag, was.source[0])
	}
}

// differs reports whether a flag is other than it was.
func (l layer) differs(flag *pflag.Flag) bool {
	return !slices.Equal(l[flag.Name].values, valuesOf(flag))
}

// shown lists flags for people.
func shown(flags *pflag.FlagSet) (list []dataplane.Setting) {
	flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Name != "help" {
			list = append(list, dataplane.Setting{Name: flag.Name, Value: strings.Join(valuesOf(flag), ","), Source: sourceOf(flag)})
		}
	})
	return list
}
