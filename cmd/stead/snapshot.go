package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/durable"
	"github.com/stead-io/stead/controlplane"
)

// snapshotSizeMax bounds a snapshot that is held in memory to be verified.
const snapshotSizeMax = 256 << 20

func snapshotCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "snapshot",
		Short: "Save, inspect and restore the control plane's state",
		Long: `Save, inspect and restore the control plane's state: nodes, slots, settings, history. It holds nothing
of what the nodes store, and it does hold the cluster's hash key, which is a secret: keep it as one.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	o := newOperator(command)
	command.AddCommand(snapshotSaveCommand(o), snapshotInspectCommand(o), snapshotRestoreCommand(o))
	return command
}

func snapshotSaveCommand(o *operator) *cobra.Command {
	var force bool
	command := &cobra.Command{
		Use:     "save FILE|-",
		Short:   "Save the state to a file, or to stdout",
		Example: "  stead snapshot save stead.snapshot\n  stead snapshot save - | gzip > stead.snapshot.gz",
		Args:    cobra.ExactArgs(1),
		RunE: o.with(func(s *session, args []string) error {
			return saveSnapshot(s, args[0], force)
		}),
	}
	command.Flags().BoolVar(&force, "force", false, "replace the file if it is there")
	return command
}

// saveSnapshot writes the file once the snapshot is here whole and was read back: a file that is there
// can be restored.
func saveSnapshot(s *session, path string, force bool) error {
	if _, err := os.Lstat(path); path != "-" && err == nil && !force {
		return advisedError{fmt.Errorf("cannot save to %s: %w", path, fs.ErrExist), "replace it: add --force"}
	}
	body, err := s.Snapshot(s.command.Context())
	if err != nil {
		return err
	}
	defer body.Close()
	content, err := io.ReadAll(io.LimitReader(body, snapshotSizeMax))
	if err != nil {
		return fmt.Errorf("cannot save the snapshot: it did not come whole: %w", err)
	}
	facts, err := controlplane.ReadSnapshot(bytes.NewReader(content))
	if err != nil {
		return fmt.Errorf("cannot save the snapshot: %w", err)
	}
	if path == "-" {
		_, err := s.stdout().Write(content)
		return err
	}
	if err := durable.WriteFile(path, content); err != nil {
		return err
	}
	return s.print(facts, func(t *table) {
		t.add("saved", path, fmt.Sprintf("ring %s", facts.Version), plural(int(facts.Bytes), "byte"), "sha256 "+facts.Digest)
	})
}

func snapshotInspectCommand(o *operator) *cobra.Command {
	return &cobra.Command{
		Use:   "inspect FILE|-",
		Short: "Verify a snapshot and show what it holds, without a control plane",
		Args:  cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if o.output != outputTable && o.output != outputJSON {
				return usage("--output is table or json, not %q", o.output)
			}
			facts, err := inspectSnapshot(command, args[0])
			if err != nil {
				return err
			}
			s := &session{command: command, json: o.output == outputJSON}
			return s.print(facts, func(t *table) { drawSnapshot(t, facts) })
		},
	}
}

func inspectSnapshot(command *cobra.Command, path string) (api.SnapshotFacts, error) {
	source := command.InOrStdin()
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return api.SnapshotFacts{}, fmt.Errorf("cannot read the snapshot: %w", err)
		}
		defer file.Close()
		source = file
	}
	facts, err := controlplane.ReadSnapshot(source)
	if err != nil {
		return facts, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return facts, nil
}

func drawSnapshot(t *table, facts api.SnapshotFacts) {
	settings := facts.Settings
	t.add("cluster", facts.Cluster)
	t.add("generation", facts.Version.Generation)
	t.add("ring", facts.Version)
	t.add("index", facts.Index)
	t.add("level", facts.Level)
	t.add("time", moment(facts.Time))
	t.add("service", fmt.Sprintf("%s (state %s)", settings.Service, settings.State))
	t.add("keys", strings.Join(settings.Keys, ", "))
	t.add("no key", settings.NoKey)
	t.add("nodes", facts.Nodes)
	t.add("slots", fmt.Sprintf("%d, %s each, %d unassigned, %d recovering", facts.Slots, plural(settings.Replicas, "replica"), facts.Unassigned, facts.Recovering))
	t.add("changes", fmt.Sprintf("%d kept, the newest %d", facts.Changes, facts.Change))
	t.add("size", plural(int(facts.Bytes), "byte"))
	t.add("digest", facts.Digest+" OK")
}

const restoreWarning = `A restore replaces nodes, slots, settings and want of the whole cluster by what they were in the snapshot:
ring %s of %s, cluster %s. A new generation begins. Every slot whose node can report what it last held
answers 503 until that node has: about a second where the nodes live. Nodes registered since are listed again when
they register again. Keys that moved since then stay where they are only if their node reports. History says lossy.`

func snapshotRestoreCommand(o *operator) *cobra.Command {
	var force, yes bool
	command := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a snapshot in the place of the cluster's state",
		Args:  cobra.ExactArgs(1),
		RunE: o.with(func(s *session, args []string) error {
			return restoreSnapshot(s, args[0], force, yes)
		}),
	}
	command.Flags().BoolVar(&force, "force", false, "restore the snapshot of another cluster: this one becomes that")
	command.Flags().BoolVar(&yes, "yes", false, "don't ask")
	return command
}

func restoreSnapshot(s *session, path string, force, yes bool) error {
	facts, err := inspectSnapshot(s.command, path)
	if err != nil {
		return err
	}
	s.say(restoreWarning, facts.Version, moment(facts.Time), facts.Cluster)
	if err := confirm(s.command, "Restore it?", yes); err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot read the snapshot: %w", err)
	}
	defer file.Close()
	changed, err := s.Restore(s.command.Context(), file, facts.Bytes, force)
	if err != nil {
		return err
	}
	return s.printChanged(changed, theirDisks)
}

// confirm asks a person, unless yes was said beforehand. Where no person is, nothing is taken for a yes.
func confirm(command *cobra.Command, question string, yes bool) error {
	if yes {
		return nil
	}
	nobody := usage("nobody is there to ask: say --yes")
	input := command.InOrStdin()
	if !isDevice(input) {
		return nobody
	}
	fmt.Fprintf(command.ErrOrStderr(), "%s [y/N] ", question)
	answer, err := bufio.NewReader(input).ReadString('\n')
	if errors.Is(err, io.EOF) {
		return nobody
	}
	if err != nil {
		return err
	}
	if word := strings.ToLower(strings.TrimSpace(answer)); word != "y" && word != "yes" {
		return errors.New("not confirmed; nothing was done")
	}
	return nil
}

// isDevice reports whether the input is a terminal, or at least no file and no pipe.
func isDevice(input io.Reader) bool {
	file, ok := input.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
