package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/cmd/stead/simulate"
)

const simulateLong = `Compare ways to place keys on nodes: who holds each key before and after a change of the nodes, for
modular hashing, a ring of virtual nodes (160 points a node), rendezvous, jump, Maglev (a table of 65537)
and Stead's slots. No cluster is needed.

MOVED are the keys whose node changed, RATIO is that to the least that must move for every node to have
its share; below 1, the nodes that came got less than theirs. PEAK is the highest load of a node to the
mean, weights taken into account. NS is the time of a lookup once the key is hashed, which is the same
work for all.

--file takes your own keys, one a line of 1 to 1024 octets; a key that stands twice counts twice.`

type simulateFlags struct {
	config simulate.Config
	slots  slotsFlag
	file   string
	output string
}

func simulateCommand() *cobra.Command {
	f := simulateFlags{
		config: simulate.Config{Nodes: 10, Add: 1, Keys: 1_000_000, Seed: 1},
		slots:  slotsFlag{bits: api.SlotBitsDefault},
	}
	command := &cobra.Command{
		Use:   "simulate",
		Short: "Compare how many keys move, and how even the load is, with other ways to hash",
		Long:  simulateLong,
		Example: `  stead simulate --nodes 10 --add 1 --keys 1000000
  stead simulate --nodes 100 --remove 1 --add 0 --file keys.txt`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return f.run(command) },
	}
	flags := command.Flags()
	flags.IntVar(&f.config.Nodes, "nodes", f.config.Nodes, "nodes before the change")
	flags.IntVar(&f.config.Add, "add", f.config.Add, "nodes that come")
	flags.IntVar(&f.config.Remove, "remove", f.config.Remove, "nodes that go, drawn by the seed")
	flags.IntVar(&f.config.Keys, "keys", f.config.Keys, "keys to make up")
	flags.StringVar(&f.file, "file", "", "`file` of keys to take instead, - for stdin")
	flags.IntSliceVar(&f.config.Weights, "weights", nil, "`weights` of the first nodes, separated by commas; the others weigh 1")
	flags.Var(&f.slots, "slots", "slots of Stead's ring, a power of two from 256 to 65536")
	flags.Uint64Var(&f.config.Seed, "seed", f.config.Seed, "seed of the hash key and of who goes")
	flags.StringVarP(&f.output, "output", "o", outputTable, "table or json")
	completeWords(command, "output", outputTable, outputJSON)
	return command
}

func (f *simulateFlags) run(command *cobra.Command) error {
	if f.output != outputTable && f.output != outputJSON {
		return usage("--output is table or json, not %q", f.output)
	}
	f.config.Bits = ring.Bits(f.slots.bits)
	if err := f.config.Validate(); err != nil {
		return usageError{err}
	}
	source, done, err := f.source(command)
	if err != nil {
		return err
	}
	defer done()
	progress := newPlacingProgress(command.Context(), command.ErrOrStderr())
	report, err := simulate.Run(f.config, source, simulate.Observer{Now: time.Now, Progress: progress.placed})
	progress.clear()
	if err != nil && f.file != "" && command.Context().Err() == nil {
		return fmt.Errorf("cannot read keys from %s: %w", f.file, err)
	}
	if err != nil {
		return err
	}
	if f.output == outputJSON {
		return writeJSON(command.OutOrStdout(), report)
	}
	return printSimulation(command.OutOrStdout(), report)
}

// source opens the keys; done closes what it opened.
func (f *simulateFlags) source(command *cobra.Command) (source simulate.Source, done func(), err error) {
	nothing := func() {}
	switch {
	case f.file == "" && f.config.Keys < 1:
		return nil, nil, usage("keys: %d is not between 1 and %d", f.config.Keys, simulate.KeysMax)
	case f.file == "":
		return simulate.MadeUp(f.config), nothing, nil
	case command.Flags().Changed("keys"):
		return nil, nil, usage("--keys makes keys up and --file brings them: give one of the two")
	case f.file == "-":
		return simulate.Lines(f.config, command.InOrStdin()), nothing, nil
	}
	file, err := os.Open(f.file)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read keys: %w", err)
	}
	return simulate.Lines(f.config, file), func() { _ = file.Close() }, nil // it was only read
}

func printSimulation(to io.Writer, report simulate.Report) error {
	fmt.Fprintf(to, "%s, %d added, %d removed; of %s at least %d must move (%s)\n\n",
		plural(report.Nodes, "node"), report.Add, report.Remove, plural(report.Keys, "key"),
		report.Minimum, percent(report.Minimum, report.Keys))
	t := table{header: []string{"SCHEME", "MOVED", "SHARE", "RATIO", "PEAK BEFORE", "PEAK AFTER", "NS"}}
	for _, scheme := range report.Schemes {
		if scheme.Reason != "" {
			const none = "n/a"
			t.add(scheme.Name, none, none, none, none, none, none)
			defer fmt.Fprintf(to, "\n%s: %s\n", scheme.Name, scheme.Reason)
			continue
		}
		ratio := "-" // to nothing there is none
		if report.Minimum > 0 {
			ratio = fmt.Sprintf("%.2f", scheme.Ratio)
		}
		t.add(scheme.Name, scheme.Moved, percent(scheme.Moved, report.Keys), ratio,
			fmt.Sprintf("%.3f", scheme.PeakBefore), fmt.Sprintf("%.3f", scheme.PeakAfter), fmt.Sprintf("%.1f", scheme.Nanos))
	}
	return t.write(to)
}

// placingProgress says how far a long simulation is: on a terminal in place, elsewhere a line now and
// then.
type placingProgress struct {
	ctx      context.Context
	to       io.Writer
	terminal bool
	last     time.Time
	shown    bool
}

// How often progress is shown; what is done before is done in silence.
const (
	progressOnTerminal = 500 * time.Millisecond
	progressInLog      = 10 * time.Second
)

func newPlacingProgress(ctx context.Context, to io.Writer) *placingProgress {
	p := &placingProgress{ctx: ctx, to: to, last: time.Now()}
	if file, is := to.(*os.File); is {
		info, err := file.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

// placed takes note of the keys placed so far; it fails when the command was interrupted.
func (p *placingProgress) placed(keys int) error {
	every, format := progressInLog, "%d keys placed\n"
	if p.terminal {
		every, format = progressOnTerminal, "\r%d keys placed"
	}
	if time.Since(p.last) >= every {
		fmt.Fprintf(p.to, format, keys)
		p.last, p.shown = time.Now(), true
	}
	return p.ctx.Err()
}

// clear takes the line off the terminal.
func (p *placingProgress) clear() {
	if p.terminal && p.shown {
		fmt.Fprint(p.to, "\r\x1b[K")
	}
}
