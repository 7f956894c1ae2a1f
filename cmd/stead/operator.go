package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/client"
	"github.com/stead-io/stead/api/transport"
)

// defaultControl is where a control plane on this machine listens.
const defaultControl = "127.0.0.1:7400"

// consistencies are how fresh a read can be asked to be.
var consistencies = []string{"stale", "default", "linearizable"}

// operator is what the commands share that ask a control plane: their flags, and how they print.
type operator struct {
	control     []string
	actor       string
	consistency string
	output      string
	key         string
	checkChange uint64
	tls         tlsFlags
	tokenFile   string
}

// newOperator gives a command, and those below it, the flags of an operator.
func newOperator(command *cobra.Command) *operator {
	o := &operator{}
	flags := command.PersistentFlags()
	addControlFlag(flags, &o.control)
	flags.StringVar(&o.actor, "actor", "", "`name` that history shows for what you change (default user@host)")
	flags.StringVar(&o.consistency, "consistency", "default", "how fresh reads are: stale, default or linearizable")
	flags.StringVar(&o.key, "idempotency-key", "", "`name` of this one write: repeated under the same, it is carried out once")
	flags.Uint64Var(&o.checkChange, "check-change", 0, "refuse the write if a `change` newer than this one stands; 0: never")
	flags.StringVarP(&o.output, "output", "o", outputTable, "table or json")
	o.tls.add(flags)
	flags.StringVar(&o.tokenFile, "token-file", "", "`file` of your token; "+tokenVariable+" can hold the token itself")
	completeWords(command, "output", outputTable, outputJSON)
	completeWords(command, "consistency", consistencies...)
	return o
}

func addControlFlag(flags *pflag.FlagSet, control *[]string) {
	flags.StringSliceVar(control, "control", []string{defaultControl}, "`addresses` of control-plane members, separated by commas")
}

// defaultActor is user@host, as far as they are known.
func defaultActor() string {
	name := os.Getenv("USER")
	if current, err := user.Current(); name == "" && err == nil {
		name = current.Username
	}
	host, _ := os.Hostname()
	return strings.Map(printableASCII, name+"@"+host)
}

func printableASCII(r rune) rune {
	if r <= ' ' || r > '~' {
		return '_'
	}
	return r
}

// session is one operator's command under way.
type session struct {
	*client.Client
	command *cobra.Command
	json    bool
	named   bool // the operator gave the write a key, so that it is safe to run again
}

// with opens a client for a command and explains why nobody answered, if so.
func (o *operator) with(do func(*session, []string) error) func(*cobra.Command, []string) error {
	return func(command *cobra.Command, args []string) error {
		if o.output != outputTable && o.output != outputJSON {
			return usage("--output is table or json, not %q", o.output)
		}
		if !slices.Contains(consistencies, o.consistency) {
			return usage("--consistency is one of %s, not %q", strings.Join(consistencies, ", "), o.consistency)
		}
		if command.Flags().Changed("idempotency-key") && o.key == "" {
			return usage("--idempotency-key is empty: the write would not be safe to repeat")
		}
		c, err := o.connect(command, o.control...)
		if err != nil {
			return usageError{err}
		}
		defer c.Close()
		command.SetContext(o.conditions(command.Context()))
		err = do(&session{Client: c, command: command, json: o.output == outputJSON, named: o.key != ""}, args)
		if errors.Is(err, client.ErrUnreachable) {
			return o.unreachable(err)
		}
		return err
	}
}

// conditions puts into the context what the flags ask of reads and writes.
func (o *operator) conditions(ctx context.Context) context.Context {
	ctx = client.WithConsistency(ctx, o.consistency)
	if o.key != "" {
		ctx = client.WithIdempotencyKey(ctx, o.key)
	}
	if o.checkChange != 0 {
		ctx = client.WithIfMatch(ctx, api.ChangeID(o.checkChange))
	}
	return ctx
}

// connect opens a client to control-plane members, any one of which may answer.
func (o *operator) connect(command *cobra.Command, members ...string) (*client.Client, error) {
	actor := o.actor
	if actor == "" {
		actor = defaultActor()
	}
	warnings := slog.New(slog.NewTextHandler(command.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	security, err := o.tls.load(warnings, true)
	if err != nil {
		return nil, err
	}
	token, err := o.token(warnings)
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{
		Members: members, Security: transport.Security{TLS: security}, Token: token,
		Actor: actor, FailFast: true, Logger: warnings,
	})
}

// token is what the operator shows: from a file, or from the environment.
func (o *operator) token(logger *slog.Logger) (func() string, error) {
	inherited := os.Getenv(tokenVariable)
	if o.tokenFile != "" || inherited == "" {
		return readToken(o.tokenFile, logger)
	}
	if err := checkToken(inherited); err != nil {
		return nil, fmt.Errorf("%s: %w", tokenVariable, err)
	}
	return func() string { return inherited }, nil
}

func (o *operator) unreachable(err error) error {
	if errors.Is(err, client.ErrUntrusted) {
		return advisedError{err, "show a certificate of the cluster's CA: --tls-cert, --tls-key and --tls-ca, or --tls-ca with a token"}
	}
	return advisedError{
		fmt.Errorf("no control plane at %s: %w", strings.Join(o.control, ", "), err),
		"start one with `stead dev`, or say where it is with --control or STEAD_CONTROL",
	}
}

// print writes a value as JSON, or as the table that draw makes of it.
func (s *session) print(value any, draw func(*table)) error {
	if s.json {
		return writeJSON(s.stdout(), value)
	}
	var t table
	draw(&t)
	return t.write(s.stdout())
}

func (s *session) stdout() io.Writer { return s.command.OutOrStdout() }

// say writes a message for people.
func (s *session) say(format string, args ...any) {
	fmt.Fprintf(s.command.ErrOrStderr(), format+"\n", args...)
}

// printChanged prints what became of a write. State that stays behind is said before all else;
// where names whose disks it stays on.
func (s *session) printChanged(changed api.Changed, where string) error {
	if changed.LeavesState > 0 {
		s.say("%s moved; their state, if any, stays behind on %s",
			plural(changed.LeavesState, "slot"), where)
	}
	if changed.Replayed && !s.json {
		s.say("already done before, under the same idempotency key; this is what came of it then")
	}
	if changed.Note != "" && !s.json {
		s.say("%s", changed.Note)
	}
	return s.print(changed, func(t *table) {
		if changed.Change == 0 {
			t.add(unchanged(changed.Note), fmt.Sprintf("ring %s", changed.Version))
			return
		}
		t.add(fmt.Sprintf("change %d", changed.Change), fmt.Sprintf("ring %s", changed.Version))
	})
}

// unchanged heads an answer without a change. Where a note says what was done, as of a level that was
// raised, only the ring is as before.
func unchanged(note string) string {
	if note != "" {
		return "no ring change"
	}
	return "nothing changed"
}
