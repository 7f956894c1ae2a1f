package frames

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"time"
)

const (
	// batchMax is about how much goes out in one write.
	batchMax = 256 << 10
	// queueMax bounds what waits to be written beside bodies: a side that reads so little is given up.
	queueMax = 8 << 20
	// QueueHigh is from where on no more streams should be opened.
	QueueHigh = 1 << 20
	// keepMax is the capacity of buffers that are held on to between writes.
	keepMax = 2 * batchMax
	// turnMax is how many writes whoever has come by makes for the others, before another goroutine goes on.
	turnMax = 4
	// WriteStall is how long a write may take before the connection is given up.
	WriteStall = 10 * time.Second
)

// Violations of what a reader of frames owes.
var (
	errSlow   = errors.New("the other side reads too slowly")
	errClosed = errors.New("the connection is closed")
)

// Outbox writes frames to a connection. Whoever has something to send while nobody writes does it, for all
// that have come meanwhile too; others leave theirs to the one who writes. Its lock is its owner's too: what
// decides which frames may follow each other stands under it.
type Outbox struct {
	conn net.Conn

	mu      sync.Mutex
	queue   []byte    // whole frames
	spare   []byte    // the other buffer, while nobody writes
	parcels []*Parcel // in the order of their turns
	batches uint64    // taken from the queue
	writing bool
	err     error
	by      time.Time // the write deadline that is set

	relief sync.WaitGroup
}

// Parcel is a piece of a body on its way. It is used again once Ship has returned.
type Parcel struct {
	stream uint64
	flags  uint8
	body   []byte
	taken  chan struct{}
}

// NewOutbox returns an outbox that closes the connection when it fails.
func NewOutbox(conn net.Conn) *Outbox { return &Outbox{conn: conn} }

// Lock begins what is to stay together; Put may be called until Unlock or Release.
func (o *Outbox) Lock() { o.mu.Lock() }

// Unlock ends it; what was put waits for the next Release.
func (o *Outbox) Unlock() { o.mu.Unlock() }

// Queue is where frames are appended to, under the lock, and given to Put.
func (o *Outbox) Queue() []byte { return o.queue }

// Put replaces the queue by what it was appended to.
func (o *Outbox) Put(queue []byte) { o.queue = queue }

// Waiting is how many octets wait, but for those of parcels. Under the lock.
func (o *Outbox) Waiting() int { return len(o.queue) }

// Err is why nothing more is written, nil while it is. Under the lock.
func (o *Outbox) Err() error { return o.err }

// Batch numbers the write that takes what is put now. Under the lock.
func (o *Outbox) Batch() uint64 { return o.batches + 1 }

// Taken reports whether a batch may have gone out, be it in part. Under the lock.
func (o *Outbox) Taken(batch uint64) bool { return batch <= o.batches }

// Release unlocks, and writes what is queued unless somebody does.
func (o *Outbox) Release() {
	switch {
	case o.err != nil:
		o.queue = nil
	case len(o.queue) > queueMax:
		o.fail(errSlow)
	case !o.writing && (len(o.queue) > 0 || len(o.parcels) > 0):
		o.write(turnMax)
		return
	}
	o.mu.Unlock()
}

// Ship sends a piece of a body when it is its turn, and returns when it is on its way. Streams take turns: each
// has one piece in line.
func (o *Outbox) Ship(p *Parcel, stream uint64, flags uint8, body []byte) error {
	p.stream, p.flags, p.body = stream, flags, body
	if p.taken == nil {
		p.taken = make(chan struct{}, 1)
	}
	o.mu.Lock()
	if err := o.err; err != nil {
		o.mu.Unlock()
		return err
	}
	o.parcels = append(o.parcels, p)
	o.Release()
	<-p.taken
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// write sends batches until nothing is left, or its turns are over and another goroutine goes on. It is called
// under the lock and gives it up.
func (o *Outbox) write(turns int) {
	o.writing = true
	o.mu.Unlock()
	runtime.Gosched() // whoever is about to send joins in
	o.mu.Lock()
	for ; o.err == nil && (len(o.queue) > 0 || len(o.parcels) > 0); turns-- {
		if turns == 0 {
			o.relief.Go(func() {
				o.mu.Lock()
				o.write(-1)
			})
			o.mu.Unlock()
			return
		}
		o.writeBatch()
	}
	o.writing = false
	o.mu.Unlock()
}

// writeBatch gives the lock up while it writes.
func (o *Outbox) writeBatch() {
	batch := o.queue
	o.queue, o.spare = o.spare[:0], nil
	o.batches++
	n := 0
	for n < len(o.parcels) && (n == 0 || len(batch) < batchMax) {
		p := o.parcels[n]
		batch = AppendData(batch, p.stream, p.flags, p.body)
		o.parcels[n] = nil
		p.body = nil
		p.taken <- struct{}{}
		n++
	}
	o.parcels = o.parcels[:copy(o.parcels, o.parcels[n:])]
	o.extend()
	o.mu.Unlock()
	written, err := o.conn.Write(batch)
	o.mu.Lock()
	if written == 0 && err != nil {
		o.batches--
	}
	if err != nil {
		o.fail(fmt.Errorf("cannot write: %w", err))
	}
	if cap(batch) <= keepMax {
		o.spare = batch[:0]
	}
}

// extend moves the write deadline on, unless it is far enough.
func (o *Outbox) extend() {
	now := time.Now()
	if o.by.Sub(now) < WriteStall/2 {
		o.by = now.Add(WriteStall)
		_ = o.conn.SetWriteDeadline(o.by)
	}
}

// fail gives the connection up, under the lock. Those with pieces in line go on and see it.
func (o *Outbox) fail(err error) {
	if o.err != nil {
		return
	}
	o.err = err
	o.queue = nil
	for _, p := range o.parcels {
		p.body = nil
		p.taken <- struct{}{}
	}
	o.parcels = nil
	_ = underlying(o.conn).Close()
}

// underlying is the socket that a connection in TLS goes over: the goodbye of TLS would wait for a side that
// does not read.
func underlying(conn net.Conn) net.Conn {
	if secured, ok := conn.(interface{ NetConn() net.Conn }); ok {
		return underlying(secured.NetConn())
	}
	return conn
}

// Close gives the connection up for a reason, and waits for whoever writes for others.
func (o *Outbox) Close(err error) {
	if err == nil {
		err = errClosed
	}
	o.mu.Lock()
	o.fail(err)
	o.mu.Unlock()
	o.relief.Wait()
}
