package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/cmd/stead/heir"
	"github.com/stead-io/stead/dataplane"
)

// attendant looks after one proxy while it runs: it reads the configuration anew at SIGHUP, and has a new process
// take over at SIGUSR2.
type attendant struct {
	*proxyFlags
	command   *cobra.Command
	config    dataplane.Config // what the proxy was opened with
	given     layer            // the flags without the file
	inherited *heir.Heir       // nil if no process was there before

	// What it is told, each by itself: who is told both while a process starts must not lose one.
	reloads, handOvers chan os.Signal
}

// run serves until the proxy is told to stop, fails, or has an heir.
func (f *proxyFlags) run(command *cobra.Command) error {
	a := attendant{proxyFlags: f, command: command, given: layerOf(command.Flags()), reloads: make(chan os.Signal, 1), handOvers: make(chan os.Signal, 1)}
	signal.Notify(a.reloads, syscall.SIGHUP) // both from the start: by themselves they end a process
	defer signal.Stop(a.reloads)
	signal.Notify(a.handOvers, syscall.SIGUSR2)
	defer signal.Stop(a.handOvers)
	var err error
	if a.inherited, err = heir.Inherit(); err != nil {
		return err
	}
	if err = a.open(); err == nil {
		err = serveWhile(command, &f.serverFlags, a.config, dataplane.Open, a.attend)
	}
	if err != nil && a.inherited != nil {
		a.inherited.Fails(err)
	}
	return err
}

// open reads the settings, and takes up what the process before left.
func (a *attendant) open() (err error) {
	if a.file != "" {
		if err := readSettings(a.command.Flags(), a.file); err != nil {
			return usageError{err}
		}
	}
	if a.config, err = a.complete(a.command); err != nil {
		return err
	}
	a.config.Origin = dataplane.Origin{File: a.file, Settings: shown(a.command.Flags())}
	if a.inherited == nil {
		return nil
	}
	if a.id != "" && a.id != a.inherited.ID || a.config.Listen != a.inherited.Listen || a.config.AdminListen != a.inherited.AdminListen {
		return fmt.Errorf("proxy %q at %s and %s cannot take the place of %q at %s and %s: stop that one, and start this",
			a.id, a.config.Listen, a.config.AdminListen, a.inherited.ID, a.inherited.Listen, a.inherited.AdminListen)
	}
	a.config.Predecessor = &dataplane.Predecessor{ID: api.ProxyID(a.inherited.ID), Clients: a.inherited.Clients, Admin: a.inherited.Admin}
	return nil
}

func (a *attendant) attend(ctx context.Context, proxy *dataplane.Proxy) {
	a.announce()
	for {
		select {
		case <-ctx.Done():
			return
		case <-proxy.Done():
			return
		case <-a.reloads:
			a.reopen(proxy)
			a.reload(proxy)
		case <-a.handOvers:
			if a.passOn(ctx, proxy) {
				return
			}
		}
	}
}

// announce tells those who wait for it that this process serves.
func (a *attendant) announce() {
	if err := heir.Announce(); err != nil {
		a.config.Logger.Warn("whoever watches this process does not know that it serves", "error", err)
	}
	if a.inherited == nil {
		return
	}
	if err := a.inherited.Serves(); err != nil {
		a.config.Logger.Warn("the process before this one may serve on beside it", "pid", a.inherited.PID, "error", err)
	}
	a.inherited = nil
}

// reopen goes on in a new access log, where the old one was moved away.
func (a *attendant) reopen(proxy *dataplane.Proxy) {
	if err := proxy.ReopenLogs(); err != nil {
		a.config.Logger.Error("the access log goes on where it was", "error", err)
	}
}

// reload puts in force what the file says now, or leaves all as it is.
func (a *attendant) reload(proxy *dataplane.Proxy) {
	logger, flags := a.config.Logger, a.command.Flags()
	if a.file == "" {
		if a.config.AccessLog.File == "" {
			logger.Warn("there is nothing to read or open anew: neither --config nor --access-log-file names a file")
		}
		return
	}
	before := layerOf(flags)
	changed, waiting, err := a.reread(before)
	if err == nil {
		next := a.settings()
		next.Origin = dataplane.Origin{File: a.file, Settings: shown(flags), Waiting: waiting}
		err = a.putInForce(proxy, next)
	}
	if err != nil {
		flags.VisitAll(before.restore)
		proxy.ReloadRefused(err)
		logger.Error("the configuration is refused; the one before stays in force", "file", a.file, "error", err)
		return
	}
	_ = a.level.UnmarshalText([]byte(a.logLevel)) // it was checked
	logger.Info("the configuration was read anew", "file", a.file, "changed", changed)
	if len(waiting) > 0 {
		logger.Warn("some settings change only when the proxy is started anew", "file", a.file, "settings", waiting)
	}
}

// putInForce has the proxy heed settings, all of them or none.
func (a *attendant) putInForce(proxy *dataplane.Proxy, next dataplane.Config) error {
	certificate, err := a.clientTLS.reread(a.config.Logger)
	if err == nil {
		err = proxy.Reload(next)
	}
	if err == nil && certificate != nil {
		a.clientTLS.loaded.Become(certificate)
	}
	return err
}

// reread sets the flags from the file as it is now, but for those that wait for a restart.
func (a *attendant) reread(before layer) (changed, waiting []string, err error) {
	flags := a.command.Flags()
	flags.VisitAll(a.given.restore)
	if err := readSettings(flags, a.file); err != nil {
		return nil, nil, err
	}
	if err := a.fit(); err != nil {
		return nil, nil, err
	}
	flags.VisitAll(func(flag *pflag.Flag) {
		switch {
		case !before.differs(flag):
		case flag.Annotations[reloadNote] == nil:
			waiting = append(waiting, flag.Name)
			before.restore(flag)
		default:
			changed = append(changed, flag.Name)
		}
	})
	return changed, waiting, a.check() // without what waits they may not go together
}

// fit reports what would keep a proxy from starting with the flags as they are, but for what only the machine knows:
// a mistake in a setting that waits for a restart is found now, and not by that.
func (a *attendant) fit() error {
	if err := a.check(); err != nil {
		return err
	}
	config := a.settings()
	config.Security, config.SecurityClients = a.config.Security, a.config.SecurityClients
	if err := a.trail.complete(&config); err != nil {
		return err
	}
	return config.Validate()
}

// passOn has a new process take the proxy's place; false if it did not, and all is as before.
func (a *attendant) passOn(ctx context.Context, proxy *dataplane.Proxy) bool {
	logger := a.config.Logger
	program, err := heir.Program()
	if err == nil {
		logger.Info("starting a process to take over", "program", program)
		var pid int
		if pid, err = a.replace(ctx, proxy, program); err == nil {
			logger.Info("another process serves; this one finishes what it has begun", "pid", pid)
			return true
		}
	}
	if ctx.Err() != nil {
		logger.Warn("told to stop before another process served; none takes over", "error", err)
	} else {
		logger.Error("no process takes over; this one goes on", "error", err)
	}
	return false
}

func (a *attendant) replace(ctx context.Context, proxy *dataplane.Proxy, program string) (pid int, err error) {
	clients, admin, err := proxy.Sockets()
	if err != nil {
		return 0, err
	}
	defer func() { _, _ = clients.Close(), admin.Close() }()
	pid, err = heir.Start(ctx, program, heir.Will{
		PID: os.Getpid(), ID: string(proxy.ID()), Listen: a.config.Listen, AdminListen: a.config.AdminListen,
		Clients: clients, Admin: admin,
	})
	if err != nil {
		proxy.Keep()
		return 0, err
	}
	proxy.Yield()
	return pid, nil
}
