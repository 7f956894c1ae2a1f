package peer

import (
	"slices"
	"sync"
)

const (
	frameCost = 64      // bytes that a queued frame counts besides its body
	spareMax  = 4 << 10 // frames: what a burst needed is not kept for ever
)

// queue holds what a link has yet to write.
type queue struct {
	wake chan struct{} // has a token when there may be something to take

	mu     sync.Mutex
	urgent []frame
	bytes  int // of urgent frames, those taken but not yet written among them
	bulk   []*bulkFrame
	closed bool
}

// bulkFrame is a frame whose sender waits.
type bulkFrame struct {
	frame
	done chan error // of one
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

// push queues an urgent frame, unless the queue is closed or would hold more than sizeMax bytes.
func (q *queue) push(f frame, sizeMax int) (full bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	cost := len(f.body) + frameCost
	if q.closed {
		return false, ErrNoLink
	}
	if q.bytes+cost > sizeMax {
		return true, ErrNoLink
	}
	q.bytes += cost
	q.urgent = append(q.urgent, f)
	q.signal()
	return false, nil
}

// pushBulk queues a frame behind the bulk frames of others.
func (q *queue) pushBulk(f *bulkFrame) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrNoLink
	}
	q.bulk = append(q.bulk, f)
	q.signal()
	return nil
}

// withdraw takes a bulk frame back; false if it is being written, or done.
func (q *queue) withdraw(f *bulkFrame) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	at := slices.Index(q.bulk, f)
	if at < 0 {
		return false
	}
	q.bulk = slices.Delete(q.bulk, at, at+1)
	return true
}

// take returns all urgent frames and one bulk frame, if there are any; false once the queue is closed. spare
// becomes the queue's.
func (q *queue) take(spare []frame) (urgent []frame, bulk *bulkFrame, open bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, nil, false
	}
	if cap(spare) > spareMax {
		spare = nil
	}
	urgent, q.urgent = q.urgent, spare[:0]
	if len(q.bulk) > 0 {
		bulk = q.bulk[0]
		q.bulk = slices.Delete(q.bulk, 0, 1)
	}
	return urgent, bulk, true
}

// written makes room again for what urgent frames cost.
func (q *queue) written(urgent []frame) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, f := range urgent {
		q.bytes -= len(f.body) + frameCost
		urgent[i] = frame{} // its body must not be kept by a spare
	}
}

// close lets nothing in any more and fails the bulk frames that wait.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for _, f := range q.bulk {
		f.done <- ErrNoLink
	}
	q.bulk, q.urgent = nil, nil
	q.signal()
}

func (q *queue) queued() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}

func (q *queue) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default: // there is one already
	}
}
