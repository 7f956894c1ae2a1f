package routing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/stead-io/stead/api/client"
	"github.com/stead-io/stead/api/ring"
)

// Why a ring is not put in force.
var (
	ErrOtherCluster = errors.New("the control plane belongs to another cluster")
	ErrOtherRules   = errors.New("the key rules differ")
	ErrUnknownRules = errors.New("the key rules are not understood")
)

// Control is the part of the control plane that rings come from; *client.Client is one.
type Control interface {
	Ring(context.Context) (*ring.View, error)
	Watch(ctx context.Context, have *ring.View, onView func(*ring.View)) error
}

// Config of a Follower.
type Config struct {
	Control Control
	// DataDir is the folder for the last ring; empty: it is not kept.
	DataDir string
	// KeyRules are what the cluster's must be; empty: whatever they are.
	KeyRules []string
	// FirstWait bounds how long Follow waits for the control plane.
	FirstWait time.Duration
	// Fatal is told once the control plane has key rules that cannot be followed. To route on by the
	// old ones would look for state under other keys than the other proxies do.
	Fatal  func(error)
	Logger *slog.Logger
}

// Follower keeps Routes up to date until it is closed.
type Follower struct {
	*Routes
	config Config
	saved  *savedRing // nil without a DataDir
	cancel context.CancelFunc

	watching, saving sync.WaitGroup

	diskMu sync.Mutex // held over a write
	left   bool       // another process keeps the ring on disk
}

// Follow starts from the ring on disk and the control plane's, whichever is newer, and follows the
// control plane from there. It fails if the control plane's ring cannot be put in force: another
// cluster's, or one with other key rules. An unreachable control plane is no failure, a ring or none.
func Follow(ctx context.Context, config Config) (*Follower, error) {
	f := &Follower{Routes: newRoutes(config.KeyRules), config: config}
	var unusable error
	if config.DataDir != "" {
		f.saved = &savedRing{folder: config.DataDir}
		unusable = f.restore()
	}
	if err := f.first(ctx); err != nil {
		return nil, err
	}
	if unusable != nil && f.Table() == nil {
		return nil, unusable
	}
	ctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	f.watching.Go(func() { f.watch(ctx) })
	if f.saved != nil {
		f.saving.Go(func() { f.keepSaved(ctx) })
	}
	return f, nil
}

// Close stops following; the ring in force stays, on disk too. The saver ends behind the watcher, so
// that the last ring is saved.
func (f *Follower) Close() {
	f.cancel()
	f.watching.Wait()
	close(f.changed)
	f.saving.Wait()
}

// restore takes the ring from disk. A file that cannot be read is as good as none; a ring that may
// not be put in force is an error, unless the control plane has one that may.
func (f *Follower) restore() error {
	view, err := f.saved.load()
	switch {
	case err != nil:
		f.config.Logger.Warn("ignoring the ring on disk", "file", f.saved.path(), "error", err)
		return nil
	case view == nil:
		return nil
	}
	if err := f.offer(view, time.Now()); err != nil {
		return fmt.Errorf("cannot start from the ring in %s: %w", f.saved.path(), err)
	}
	f.config.Logger.Info("routing by the ring on disk", "version", view.Table.Version.String())
	return nil
}

// first asks the control plane once, so that what is wrong shows at the start.
func (f *Follower) first(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, f.config.FirstWait)
	defer cancel()
	view, err := f.config.Control.Ring(ctx)
	if err != nil {
		f.config.Logger.Warn("no ring from the control plane yet", "error", err)
		return nil
	}
	err = f.offer(view, time.Now())
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrOtherCluster) && f.saved != nil:
		return fmt.Errorf("cannot route by the control plane's ring: %w; if it is to, remove %s", err, f.saved.path())
	default:
		return fmt.Errorf("cannot route by the control plane's ring: %w", err)
	}
}

func (f *Follower) watch(ctx context.Context) {
	var have *ring.View
	if table := f.Table(); table != nil {
		have = table.View
	}
	_ = f.config.Control.Watch(ctx, have, func(view *ring.View) {
		if err := f.offer(view, time.Now()); err != nil {
			f.config.Logger.Error("refusing a ring", "version", view.Table.Version.String(), "error", err)
			if errors.Is(err, ErrOtherRules) || errors.Is(err, ErrUnknownRules) {
				f.config.Fatal(err)
			}
			return
		}
		f.config.Logger.Debug("ring changed", "version", view.Table.Version.String())
	})
}

// saveEvery is how often the ring is written to disk at most: while slots move there are many versions a second, and
// a start without the control plane is as well served by one that is a second old.
const saveEvery = time.Second

// keepSaved writes the newest ring to disk, the last one before it ends.
func (f *Follower) keepSaved(ctx context.Context) {
	for range f.changed {
		f.save()
		select {
		case <-time.After(saveEvery):
		case <-ctx.Done():
		}
	}
}

// LeaveDisk leaves the ring on disk to another process; when it returns, nothing is written any more.
func (f *Follower) LeaveDisk() { f.leaveDisk(true) }

// KeepDisk keeps the ring on disk again. It must not be called once Close was.
func (f *Follower) KeepDisk() {
	f.leaveDisk(false)
	if f.Table() == nil {
		return
	}
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

func (f *Follower) leaveDisk(left bool) {
	f.diskMu.Lock()
	defer f.diskMu.Unlock()
	f.left = left
}

func (f *Follower) save() {
	f.diskMu.Lock()
	defer f.diskMu.Unlock()
	if f.left {
		return
	}
	if err := f.saved.store(f.Table().View); err != nil {
		f.config.Logger.Error("cannot keep the ring", "file", f.saved.path(), "error", err)
	}
}

var _ Control = (*client.Client)(nil)
