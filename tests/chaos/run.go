//go:build chaos

package chaos

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/stead-io/stead/api/durable"
	"github.com/stead-io/stead/tests/history"
)

// What can be wrong with a run.
var (
	// ErrViolation: the cluster broke a promise.
	ErrViolation = errors.New("violation")
	// ErrVacuous: too little happened for the run to mean anything.
	ErrVacuous = errors.New("vacuous")
)

// progressEvery is the time between two lines that say how far the run is; the tally is saved as often, and keys
// that are done with are checked.
const progressEvery = 10 * time.Second

// experiment is a run under way.
type experiment struct {
	config   Config
	log      *log.Logger
	counts   *counts
	recorder *history.Recorder
	lab      *Lab
	observer *observer
	mover    *mover
	load     *load
	checked  int // keys, of those that are done with
}

// Run runs the experiment that the config describes, or goes on with the one in its folder, and reports what was
// wrong with it: nil, or an error that wraps one of this package's.
func Run(ctx context.Context, config Config, logger *log.Logger) (err error) {
	if err := os.MkdirAll(config.Folder, 0o700); err != nil {
		return fmt.Errorf("cannot make folder of run: %w", err)
	}
	lock, err := durable.LockFolder(config.Folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	e := &experiment{config: config, log: logger}
	if err := e.begin(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	if err := e.awaitCluster(ctx); err != nil {
		return err
	}
	if err := e.disturb(ctx); err != nil {
		return err
	}
	if err := e.finish(ctx); err != nil {
		return err
	}
	e.counts.do(func(t *Tally) { t.Finished = true })
	if reasons := e.counts.snapshot().Vacuous(config.Moves); len(reasons) > 0 {
		return fmt.Errorf("%w: %s", ErrVacuous, strings.Join(reasons, "; "))
	}
	return nil
}

func (e *experiment) tallyPath() string { return filepath.Join(e.config.Folder, "tally.json") }

// begin takes up the tally and journal of the folder, and starts the cluster.
func (e *experiment) begin() error {
	tally, found, err := LoadTally(e.tallyPath())
	switch {
	case err != nil:
		return err
	case !found:
		tally = NewTally(e.config.Seed, e.config.State, e.config.Replicas)
	case tally.Finished:
		return fmt.Errorf("the run in %s is over; remove the folder for another", e.config.Folder)
	case tally.State != e.config.State || tally.Replicas != e.config.Replicas:
		return fmt.Errorf("the run in %s is of state %s with %d replicas", e.config.Folder, tally.State, tally.Replicas)
	default:
		e.config.Seed = tally.Seed
		tally.Resumed++
	}
	e.counts = &counts{tally: tally, before: tally.Acks}
	e.log.Printf("seed %d, state %s, %d replicas, folder %s", e.config.Seed, e.config.State, e.config.Replicas, e.config.Folder)
	if e.recorder, err = history.Open(filepath.Join(e.config.Folder, "journal"), lanes); err != nil {
		return err
	}
	if e.lab, err = OpenLab(e.config, e.log, e.counts); err != nil {
		return errors.Join(err, e.recorder.Close())
	}
	e.observer, e.mover, e.load = newObserver(e.lab, e.counts), newMover(e.lab, e.counts), newLoad(e.lab, e.recorder, e.counts)
	return nil
}

func (e *experiment) close() error {
	err := errors.Join(e.recorder.Close(), e.lab.Close(), e.counts.snapshot().Save(e.tallyPath()))
	e.log.Printf("counts:\n%s", e.counts.snapshot().Table())
	return err
}

func (e *experiment) awaitCluster(ctx context.Context) error {
	if err := e.lab.awaitReady(ctx, e.lab.fleet.All()...); err != nil {
		return err
	}
	return e.mover.undrainAll(ctx)
}

// disturb is the run proper: load, faults and moves together, for the time that is left.
func (e *experiment) disturb(whole context.Context) error {
	whole, fail := context.WithCancelCause(whole)
	defer fail(nil)
	ctx, stop := context.WithTimeout(whole, e.config.Time-e.counts.snapshot().Elapsed)
	defer stop()
	var all sync.WaitGroup
	defer all.Wait()
	background, end := context.WithCancel(whole)
	defer end()
	all.Go(func() { e.observer.run(background) })
	if err := e.observer.awaitSteady(whole, e.observer.lacking); err != nil {
		return err
	}
	all.Go(func() { e.load.run(background) })
	all.Go(func() { e.watchClock(background, fail) })
	if e.config.Moves {
		all.Go(func() { e.mover.run(background) })
	}
	nemesis := &nemesis{lab: e.lab, observer: e.observer, counts: e.counts, schedule: NewSchedule(e.config.Seed, e.lab.fleet)}
	for range e.counts.snapshot().Strikes {
		nemesis.schedule.Next()
	}
	err := nemesis.run(ctx, whole)
	if whole.Err() != nil {
		return context.Cause(whole)
	}
	return err
}

// watchClock counts seconds, says how far the run is, and fails it at the first thing that is wrong.
func (e *experiment) watchClock(ctx context.Context, fail context.CancelCauseFunc) {
	second, progress := time.NewTicker(time.Second), time.NewTicker(progressEvery)
	defer second.Stop()
	defer progress.Stop()
	for {
		select {
		case <-second.C:
			e.counts.second()
			e.counts.do(func(t *Tally) { t.Elapsed += time.Second })
		case <-progress.C:
			if err := e.progress(); err != nil {
				fail(err)
				return
			}
		case odd := <-e.load.foreign:
			fail(fmt.Errorf("%w: %s", ErrViolation, odd))
			return
		case <-ctx.Done():
			return
		}
	}
}

func (e *experiment) progress() error {
	t := e.counts.snapshot()
	e.log.Printf("%v of %v: %d acknowledged, %d strikes, %d slots moved, %d promoted, %d keys",
		t.Elapsed, e.config.Time, t.Acks, t.Strikes, t.Moves, t.Promoted, len(e.recorder.Keys()))
	names, next := e.recorder.Retired(e.checked)
	e.checked = next
	return errors.Join(e.recorder.Flush(), t.Save(e.tallyPath()), e.check(names))
}

// check decides on keys, and keeps the history of the first that is at fault.
func (e *experiment) check(names []string) error {
	for _, name := range names {
		operations := e.recorder.Of(name)
		err := history.Check(operations)
		if err == nil {
			continue
		}
		page, failed := history.Save(e.config.Folder, operations)
		return errors.Join(fmt.Errorf("%w of %s: %w; see %s", ErrViolation, name, err, page), failed)
	}
	return nil
}
