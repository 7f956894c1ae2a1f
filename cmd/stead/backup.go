package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/cmd/stead/backup"
)

// progressEvery is how often a long command says how far it is.
const progressEvery = 2 * time.Second

func backupCommand() *cobra.Command {
	var out string
	var parallel int
	command := &cobra.Command{
		Use:   "backup --out FOLDER",
		Short: "Copy the state of all slots from their nodes into a folder",
		Long: `Copy the state of all slots from their nodes into a folder, while they are used: one file a slot, with the
epoch and the number of its last record in manifest.json. Each slot is as of one moment, not all of the same.
Broken off, it goes on when it is run again with the same folder; one that holds anything else is refused. Of the
control plane's own state, stead snapshot takes care.`,
		Example: "  stead backup --out /backups/monday",
		Args:    cobra.NoArgs,
	}
	o := newOperator(command)
	command.RunE = o.with(func(s *session, _ []string) error {
		if out == "" {
			return usage("--out says which folder to copy into")
		}
		config, err := o.copying(s, parallel)
		if err != nil {
			return err
		}
		manifest, err := backup.Take(command.Context(), config, out)
		if errors.Is(err, backup.ErrComplete) || errors.Is(err, backup.ErrForeign) {
			return advisedError{err, "take another folder with --out"}
		}
		if err != nil {
			return ifBrokenOff(command.Context(), err)
		}
		return s.print(manifest, func(t *table) {
			t.add("backed up", out, plural(len(manifest.Slots), "slot"), sizeOf(manifest))
		})
	})
	command.Flags().StringVar(&out, "out", "", "`folder` to copy into: empty, made if need be, or that of a backup that was broken off")
	addParallelFlag(command, &parallel)
	return command
}

// ifBrokenOff tells whoever ended a copying how it goes on.
func ifBrokenOff(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return advisedError{err, "run it again with the same folder: it goes on where it was"}
}

func addParallelFlag(command *cobra.Command, parallel *int) {
	command.Flags().IntVar(parallel, "parallel", backup.ParallelDefault, "how many slots are copied at once")
}

func sizeOf(manifest backup.Manifest) string {
	bytes := int64(0)
	for _, slot := range manifest.Slots {
		bytes += slot.Bytes
	}
	return plural(int(bytes), "byte")
}

const stateWarning = `The backup of %s, cluster %s, takes the place of what %s keeps now, slot by slot, on all replicas. A client that
writes meanwhile may see its write overwritten: keep clients away.`

func restoreCommand() *cobra.Command {
	var over, yes bool
	var parallel int
	command := &cobra.Command{
		Use:   "restore FOLDER",
		Short: "Put the state of a backup back into the slots of a cluster",
		Long: `Put the state of a backup back into the slots of a cluster: the one it is of, or another that hashes keys to
slots alike (restore the control plane's snapshot there first). Slots that hold anything are refused unless
--over is given. Broken off, it goes on when it is run again with the same folder.`,
		Args: cobra.ExactArgs(1),
	}
	o := newOperator(command)
	command.RunE = o.with(func(s *session, args []string) error {
		manifest, err := backup.Read(args[0])
		if err != nil {
			return err
		}
		s.say(stateWarning, moment(manifest.Begun), manifest.Cluster, manifest.Service)
		if err := confirm(command, "Restore it?", yes); err != nil {
			return err
		}
		config, err := o.copying(s, parallel)
		if err != nil {
			return err
		}
		progress, err := backup.Restore(command.Context(), config, args[0], over)
		if api.CodeOf(err) == api.CodeConflict {
			return advisedError{err, "replace what is there: add --over"}
		}
		if err != nil {
			return ifBrokenOff(command.Context(), err)
		}
		if progress.Before > 0 {
			s.say("%s of these had been put back by an earlier run that was broken off", plural(progress.Before, "slot"))
		}
		return s.print(progress, func(t *table) { t.add("restored", args[0], plural(progress.Done, "slot")) })
	})
	command.Flags().BoolVar(&over, "over", false, "replace what slots hold")
	command.Flags().BoolVar(&yes, "yes", false, "don't ask")
	addParallelFlag(command, &parallel)
	return command
}

// copying is how states are copied for an operator: with the certificate shown to the control plane.
func (o *operator) copying(s *session, parallel int) (backup.Config, error) {
	if parallel < 1 {
		return backup.Config{}, usage("--parallel is at least 1, not %d", parallel)
	}
	warnings := slog.New(slog.NewTextHandler(s.command.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	loaded, err := o.tls.load(warnings, true)
	if err != nil {
		return backup.Config{}, err
	}
	security := transport.Security{TLS: loaded}
	actor := o.actor
	if actor == "" {
		actor = defaultActor()
	}
	return backup.Config{
		Cluster: s.Client, Scheme: security.Scheme(), Actor: actor, Parallel: parallel, Now: time.Now,
		Progress: s.sayCopied(),
		Node: func(id api.NodeID) *http.Transport {
			return security.Transport(transport.Identity{Role: transport.RoleNode, Name: string(id)})
		},
	}, nil
}

// sayCopied says now and then how far the copying is, unless the output is for a program.
func (s *session) sayCopied() func(backup.Progress) {
	if s.json {
		return nil
	}
	var mu sync.Mutex
	said := time.Now()
	return func(p backup.Progress) {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(said) < progressEvery {
			return
		}
		said = time.Now()
		s.say("%d of %s, %s", p.Done, plural(p.Total, "slot"), plural(int(p.Bytes), "byte"))
	}
}
