package slotlog

import (
	"errors"
	"runtime"
	"time"
)

// closePatience is how long Close waits for the writer of a store that failed: the engine below may hang.
const closePatience = 5 * time.Second

// enqueue waits for room, has change take the write's place in its slot's log, and queues it. A write that
// cannot stand fails the store, and is queued for its done to hear of it in turn.
func (f *front) enqueue(w *write, change func(*extent, *write) error) {
	size := w.size()
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.size > 0 && f.size+size > queueSizeMax && !f.closed {
		f.room.Wait()
	}
	if f.closed {
		return
	}
	e := f.slots[w.slot]
	if e == nil {
		e = newExtent(0)
		f.slots[w.slot] = e
	}
	if err := change(e, w); err != nil {
		f.set(err)
	}
	if w.lazy && w.from == w.to {
		return
	}
	if w.meta != nil {
		e.rebase(w.meta.Base)
	}
	f.tickets++
	e.written = f.tickets
	f.queue = append(f.queue, w)
	f.size += size
	f.work.Signal()
}

// run is the writer: it ends when the store is closed and nothing is left to do.
func (f *front) run() {
	defer close(f.ended)
	for {
		writes := f.take()
		if len(writes) == 0 {
			return
		}
		err := f.commit(writes)
		f.mu.Lock()
		f.through += uint64(len(writes))
		f.visible.Broadcast()
		f.mu.Unlock()
		for _, w := range writes {
			if w.done != nil {
				w.done(err)
			}
		}
	}
}

// take waits for writes and takes all of them; none once the store is closed.
func (f *front) take() []*write {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.queue) == 0 && !f.closed {
		f.work.Wait()
	}
	f.mu.Unlock()
	runtime.Gosched() // whoever is about to write more: it is synced in one
	f.mu.Lock()
	writes := f.queue
	f.queue, f.size = nil, 0
	f.room.Broadcast()
	return writes
}

// commit asks for failures before and after: what failed meanwhile may be of this write.
func (f *front) commit(writes []*write) error {
	if err := f.Err(); err != nil {
		return err
	}
	if err := f.back.commit(writes); err != nil {
		f.set(err)
	}
	return f.Err()
}

// Close leaves a failed backend as it is: whoever opens it next recovers what was acknowledged.
func (f *front) Close() error {
	f.mu.Lock()
	f.closed = true
	f.work.Broadcast()
	f.room.Broadcast()
	f.mu.Unlock()
	if err := f.awaitWriter(); err != nil || f.Err() != nil {
		return err
	}
	return f.back.close()
}

func (f *front) awaitWriter() error {
	select {
	case <-f.ended:
		return nil
	case <-f.Failed():
	}
	select {
	case <-f.ended:
		return nil
	case <-time.After(closePatience):
		return errors.New("cannot close log: a write hangs since it failed")
	}
}
