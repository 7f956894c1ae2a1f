package peer

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/stead-io/stead/api"
)

// A node that cannot be reached is dialled again after redialMin, then twice that, up to redialMax; each less a
// random part, at most half.
const (
	redialMin = 50 * time.Millisecond
	redialMax = time.Second
)

// dialer keeps one node connected.
type dialer struct {
	links *Links
	node  api.NodeID
	ctx   context.Context
	end   context.CancelCauseFunc
	wake  chan struct{} // has a token when the aim changed

	mu      sync.Mutex
	address string
	up      bool
	cut     context.CancelCauseFunc // ends the attempt, or the link, to address; nil: there is none
}

func newDialer(links *Links, node api.NodeID) *dialer {
	ctx, end := context.WithCancelCause(links.ctx)
	return &dialer{links: links, node: node, ctx: ctx, end: end, wake: make(chan struct{}, 1)}
}

// aim says where the node is, and whether to dial it. A link to another address is cut; one to a node that is
// said to be down is left to end by itself.
func (d *dialer) aim(address string, up bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if address == d.address && up == d.up {
		return
	}
	if address != d.address && d.cut != nil {
		d.cut(errMoved)
	}
	d.address, d.up = address, up
	select {
	case d.wake <- struct{}{}:
	default: // there is one already
	}
}

// run dials, again and again, until end.
func (d *dialer) run() {
	defer d.end(nil)
	pause := redialMin
	for d.ctx.Err() == nil {
		ctx, address, up := d.begin()
		if !up {
			d.wait(nil)
			pause = redialMin
			continue
		}
		began := time.Now()
		err := d.links.call(ctx, d.node, address)
		d.finish()
		d.note(err, pause)
		if err == nil && time.Since(began) > redialMax {
			pause = redialMin
		}
		if d.pause(pause) {
			pause = redialMin
		} else {
			pause = min(2*pause, redialMax)
		}
	}
}

// begin is the next attempt: its end, and its aim; false while there is nothing to aim at.
func (d *dialer) begin() (context.Context, string, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.up {
		return nil, "", false
	}
	select {
	case <-d.wake: // it was for this aim, or one before
	default:
	}
	ctx, cut := context.WithCancelCause(d.ctx)
	d.cut = cut
	return ctx, d.address, true
}

func (d *dialer) finish() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cut(nil)
	d.cut = nil
}

// note logs a failure, the first of a row where people see it.
func (d *dialer) note(err error, pause time.Duration) {
	if err == nil || d.ctx.Err() != nil {
		return
	}
	log := d.links.config.Logger.Debug
	if pause == redialMin {
		log = d.links.config.Logger.Warn
	}
	log("cannot link with another node", "node", string(d.node), "error", err)
}

// pause waits about that long; true if the aim changed meanwhile.
func (d *dialer) pause(about time.Duration) bool {
	timer := time.NewTimer(about - rand.N(about/2))
	defer timer.Stop()
	return d.wait(timer.C)
}

func (d *dialer) wait(over <-chan time.Time) (changed bool) {
	select {
	case <-d.wake:
		return true
	case <-over:
	case <-d.ctx.Done():
	}
	return false
}
