package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/stead-io/stead/api/transport"
)

// stopTimeoutDefault lets a node hand back its slots and a proxy finish its longest request.
const stopTimeoutDefault = 30 * time.Second

// Log formats.
const (
	logText = "text"
	logJSON = "json"
)

// serverFlags are what every command shares that serves until it is told to stop.
type serverFlags struct {
	logLevel    string
	level       slog.LevelVar // what logLevel says, while the process runs
	logFormat   string
	insecure    bool
	tls         tlsFlags
	tokenFile   string
	stopTimeout time.Duration
}

// forServers annotates the commands that serve by themselves.
const forServers = "serves"

// serves reports whether a command line is of such a command.
func serves(args []string) bool {
	root, _ := rootCommand()
	command, _, err := root.Find(args)
	return err == nil && command.Annotations[forServers] != ""
}

func (f *serverFlags) add(command *cobra.Command) {
	command.Annotations = map[string]string{forServers: "yes"}
	flags := command.Flags()
	addLogFlags(command, &f.logLevel, &f.logFormat)
	flags.BoolVar(&f.insecure, "insecure", false,
		"listen beyond loopback without TLS: whoever reaches the port can take the cluster")
	f.tls.add(flags)
	flags.DurationVar(&f.stopTimeout, "stop-timeout", stopTimeoutDefault, "how long stopping may take")
}

func addLogFlags(command *cobra.Command, level, format *string) {
	command.Flags().StringVar(level, "log-level", "info", "debug, info, warn or error")
	command.Flags().StringVar(format, "log-format", logText, "text or json")
	completeWords(command, "log-level", "debug", "info", "warn", "error")
	completeWords(command, "log-format", logText, logJSON)
}

// addTokenFlag gives a process a token to show; members have a file of all tokens instead.
func (f *serverFlags) addTokenFlag(command *cobra.Command) {
	command.Flags().StringVar(&f.tokenFile, "token-file", "", "`file` of the token to show to the control plane")
}

func (f *serverFlags) security(logger *slog.Logger) (transport.Security, error) {
	loaded, err := f.tls.load(logger, false)
	if err == nil && loaded != nil && f.insecure {
		err = usage("--insecure means without TLS; leave it, or the --tls flags, out")
	}
	return transport.Security{Insecure: f.insecure, TLS: loaded}, err
}

func (f *serverFlags) logger(command *cobra.Command) (*slog.Logger, error) {
	if err := f.level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return nil, usage(levelUsage, f.logLevel)
	}
	return newLoggerAt(command.ErrOrStderr(), &f.level, f.logFormat)
}

const levelUsage = "--log-level is debug, info, warn or error, not %q"

// newLogger logs to stderr.
func newLogger(stderr io.Writer, level, format string) (*slog.Logger, error) {
	var from slog.Level
	if err := from.UnmarshalText([]byte(level)); err != nil {
		return nil, usage(levelUsage, level)
	}
	return newLoggerAt(stderr, from, format)
}

func newLoggerAt(stderr io.Writer, level slog.Leveler, format string) (*slog.Logger, error) {
	options := &slog.HandlerOptions{Level: level}
	var handler slog.Handler
	switch format {
	case logText:
		handler = slog.NewTextHandler(stderr, options)
	case logJSON:
		handler = slog.NewJSONHandler(stderr, options)
	default:
		return nil, usage("--log-format is text or json, not %q", format)
	}
	// Clients of net/http know no other log: what they say of servers' octets, one line each time, has its format and level.
	log.SetFlags(0)
	log.SetOutput(slog.NewLogLogger(handler, slog.LevelDebug).Writer())
	return slog.New(handler), nil
}

// service is what every composition root opens.
type service interface {
	Close(ctx context.Context) error
	Done() <-chan struct{}
	Err() error
}

// config is what every composition root is opened with.
type config interface{ Validate() error }

// heapFloor is added to what the garbage collector takes for live, in bytes: a server's heap is small, and would be
// collected every few megabytes, many times a second. It is never touched, so no memory is behind it.
const heapFloor = 32 << 20

// serve opens a service, waits until it is told to stop or fails, and closes it within bounds.
func serve[C config, S service](command *cobra.Command, f *serverFlags, configuration C, open func(C) (S, error)) error {
	return serveWhile(command, f, configuration, open, func(ctx context.Context, running S) {
		select {
		case <-ctx.Done():
		case <-running.Done():
		}
	})
}

// serveWhile is serve with something else to do than to wait: the service is closed when attend returns.
func serveWhile[C config, S service](command *cobra.Command, f *serverFlags, configuration C, open func(C) (S, error), attend func(context.Context, S)) error {
	if err := configuration.Validate(); err != nil {
		return usageError{err}
	}
	defer outliveReaders()()
	floor := make([]byte, heapFloor)
	defer runtime.KeepAlive(floor)
	running, err := open(configuration)
	if err != nil {
		return err
	}
	attend(command.Context(), running)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(command.Context()), f.stopTimeout)
	defer cancel()
	if err := running.Close(ctx); err != nil {
		err = fmt.Errorf("cannot stop cleanly: %w", err)
		return errors.Join(running.Err(), err)
	}
	return running.Err()
}

// outliveReaders keeps the process alive when whoever reads its stdout or stderr goes, as a collector of logs does that
// is restarted: what is written then is lost, and nothing else. Otherwise SIGPIPE would end it. It is caught, not
// ignored, for programs that this one starts would go on to ignore it.
func outliveReaders() (stop func()) {
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	return func() { signal.Stop(broken) }
}

// slotsFlag is a number of slots; it holds the exponent.
type slotsFlag struct{ bits int }

func (s *slotsFlag) String() string { return fmt.Sprint(1 << s.bits) }
func (s *slotsFlag) Type() string   { return "number" }

// Set reads a power of two.
func (s *slotsFlag) Set(text string) error {
	k, err := slotBits(text)
	if err == nil {
		s.bits = *k
	}
	return err
}

var _ pflag.Value = (*slotsFlag)(nil)
