package nodesvc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// canaryName is the file in a data folder that the canary writes, always the same few bytes long: written
// over in place it needs no new space, so a disk that is merely full does not fail it.
const canaryName = "canary"

// canariesPerTTL is how often within its ttl a node tries its disk.
const canariesPerTTL = 4

// canary writes to the store's disk over and over, and knows how that went. A write that does not come
// back in time, or fails, is the store's silence: a hung disk must not look alive.
type canary struct {
	write func() error // nil: there is no disk
	limit time.Duration

	mu      sync.Mutex
	began   time.Time // of the write under way; zero between writes
	took    time.Duration
	failure error // of the last write that came back
}

func newCanary(write func() error, limit time.Duration) *canary {
	return &canary{write: write, limit: limit}
}

// run writes until the context ends. A write that hangs holds it up: nothing can interrupt a disk.
func (c *canary) run(ctx context.Context) {
	if c.write == nil {
		return
	}
	ticker := time.NewTicker(c.limit / canariesPerTTL)
	defer ticker.Stop()
	for ctx.Err() == nil {
		c.once()
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

func (c *canary) once() {
	began := time.Now()
	c.mu.Lock()
	c.began = began
	c.mu.Unlock()

	err := c.write()

	c.mu.Lock()
	defer c.mu.Unlock()
	c.began, c.took, c.failure = time.Time{}, time.Since(began), err
}

// ailment says why the disk does not count as well at this moment, "" if it does.
func (c *canary) ailment(now time.Time) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.began.IsZero() && now.Sub(c.began) > c.limit:
		return fmt.Sprintf("the store's canary write has taken %v", now.Sub(c.began).Round(100*time.Millisecond))
	case c.failure != nil:
		return fmt.Sprintf("the store's canary write failed: %v", c.failure)
	default:
		return ""
	}
}

// duration is how long the write under way has taken, or the last one took.
func (c *canary) duration(now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.began.IsZero() {
		return max(c.took, now.Sub(c.began))
	}
	return c.took
}

// writeCanary is one canary write, through to the disk.
func (f *folder) writeCanary() error {
	file, err := os.OpenFile(f.file(canaryName), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(fmt.Appendf(nil, "%020d\n", time.Now().UnixNano()), 0)
	return errors.Join(err, file.Sync(), file.Close())
}
