// Package backup copies the state of a cluster's slots from their primaries into a folder, and from a folder
// back to primaries. It owns the folder's layout and the order of the copying; what a state is only the service
// knows, and how one node takes it only the node.
//
// Its invariants: a file under its final name is whole, and the manifest says what it holds; a backup is
// complete when its manifest says so; a state goes back only where the same keys hash to the same slots. Each
// slot is as of one moment, which is not the same for all of them: what a service keeps of one key is whole,
// what it keeps of several may be of different times.
package backup

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// Limits of the copying.
const (
	ParallelDefault = 4  // slots copied at once
	attemptsMax     = 60 // of one slot: it may be moving, or its node restarting
	attemptPause    = 500 * time.Millisecond
	saveEvery       = time.Second // at most so much work a broken-off run does again
)

// Cluster is where slots are looked up; *client.Client answers it.
type Cluster interface {
	Ring(context.Context) (*ring.View, error)
}

// Config says between whom to copy.
type Config struct {
	Cluster Cluster
	// Node makes the transport to one node, which proves its id where there is TLS. Its connections are closed
	// by the copying when it is done.
	Node   func(api.NodeID) *http.Transport
	Scheme string // of nodes' URLs: http or https
	Actor  string // who asks; nodes refuse requests that do not say
	// Parallel is how many slots are copied at once; 0: ParallelDefault.
	Parallel int
	// Progress hears of every slot done; it must not block. Nil: nobody does.
	Progress func(Progress)
	// Now is the time that a manifest shows.
	Now func() time.Time
}

// Progress is how far the copying is.
type Progress struct {
	Done   int   `json:"done"`   // slots, those of earlier runs too
	Total  int   `json:"total"`  // slots
	Before int   `json:"before"` // slots that earlier runs had done
	Bytes  int64 `json:"bytes"`  // copied in this run
}

// copier does one run.
type copier struct {
	Config
	folder folder

	mu         sync.Mutex
	view       *ring.View
	transports map[api.NodeID]*http.Transport
	progress   Progress
	saved      time.Time // when the record of progress was written last
}

func newCopier(config Config, path string, view *ring.View) *copier {
	if config.Parallel == 0 {
		config.Parallel = ParallelDefault
	}
	return &copier{Config: config, folder: folder(path), view: view, transports: make(map[api.NodeID]*http.Transport)}
}

func (c *copier) close() {
	for _, transport := range c.transports {
		transport.CloseIdleConnections()
	}
}

// each runs do for every slot, some at once, until one fails.
func (c *copier) each(ctx context.Context, slots []api.Slot, do func(context.Context, api.Slot) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan api.Slot, len(slots))
	for _, slot := range slots {
		queue <- slot
	}
	close(queue)
	var workers sync.WaitGroup
	for range c.Parallel {
		workers.Go(func() {
			for slot := range queue {
				if ctx.Err() != nil {
					return
				}
				if err := do(ctx, slot); err != nil {
					cancel(fmt.Errorf("slot %d: %w", slot, err))
				}
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}

// errAgain wraps failures that may be over in a moment.
var errAgain = errors.New("not now")

// persist tries a slot until it succeeds, fails for good, or has been tried enough. Between tries it looks up
// anew who serves it.
func (c *copier) persist(ctx context.Context, slot api.Slot, try func(node ring.Node) error) error {
	var last error
	for range attemptsMax {
		view := c.known()
		node, held := view.Table.Node(view.Table.Primary(slot))
		last = fmt.Errorf("%w: nobody serves it", errAgain)
		if held {
			last = try(node)
		}
		if !errors.Is(last, errAgain) {
			return last
		}
		if err := pause(ctx, attemptPause); err != nil {
			return errors.Join(last, err)
		}
		if err := c.refresh(ctx, view); err != nil {
			return err
		}
	}
	return last
}

func (c *copier) known() *ring.View {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.view
}

// refresh looks slots up anew, unless somebody has since a view was taken.
func (c *copier) refresh(ctx context.Context, since *ring.View) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.view != since {
		return nil
	}
	view, err := c.Cluster.Ring(ctx)
	if err == nil {
		c.view = view
	}
	return err
}

// ask sends a request about a slot to a node.
func (c *copier) ask(request *http.Request, node api.NodeID) (*http.Response, error) {
	request.Header.Set(api.HeaderActor, c.Actor)
	answer, err := c.transport(node).RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("%w: cannot reach node %s: %w", errAgain, node, err)
	}
	return answer, nil
}

func (c *copier) transport(node api.NodeID) *http.Transport {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.transports[node] == nil {
		c.transports[node] = c.Node(node)
	}
	return c.transports[node]
}

// stateURL is where a slot's state is.
func (c *copier) stateURL(node ring.Node, slot api.Slot) string {
	return fmt.Sprintf("%s://%s/.stead/slots/%d/state", c.Scheme, node.Address, slot)
}

func pause(ctx context.Context, duration time.Duration) error {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
