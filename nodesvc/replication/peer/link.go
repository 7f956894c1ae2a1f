package peer

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	readBuffer  = 32 << 10 // bytes
	writeBuffer = 64 << 10 // bytes: so many small frames go out in one write
)

// Why a link ends, as far as it is this side's doing.
var (
	errReplaced  = errors.New("a newer connection took its place")
	errUnlisted  = errors.New("the node is not listed any more")
	errMoved     = errors.New("the node has another address")
	errClosed    = errors.New("this node ends its connections")
	errOverflow  = errors.New("more is queued for it than may be")
	errUnexpects = errors.New("it sent a greeting in the middle")
)

// link is one greeted connection.
type link struct {
	other    Hello
	conn     net.Conn
	in       *incoming
	reader   *bufio.Reader // of in
	queue    *queue
	counters *counters
	since    time.Time
	ended    chan struct{} // closed when the handler has heard the last of it

	once  sync.Once
	cause error // set by once
}

// counters are of all connections with one node.
type counters struct {
	connections                            atomic.Uint64
	framesIn, framesOut, bytesIn, bytesOut atomic.Uint64
	heard                                  atomic.Int64 // Unix nanoseconds
}

func newLink(conn net.Conn, in *incoming, reader *bufio.Reader, other Hello) *link {
	return &link{other: other, conn: conn, in: in, reader: reader, queue: newQueue(), ended: make(chan struct{})}
}

// count makes the link count as one more of a node's.
func (l *link) count(counters *counters) {
	l.counters, l.in.counters, l.since = counters, counters, time.Now()
	counters.connections.Add(1)
	counters.heard.Store(l.since.UnixNano())
}

// cut ends the link; the first cause counts. It does not block.
func (l *link) cut(cause error) {
	l.once.Do(func() {
		l.cause = cause
		l.queue.close()
		abort(l.conn)
	})
}

// run carries frames until the link is cut.
func (l *link) run(handler Handler, config Config) {
	written := make(chan struct{})
	go func() {
		defer close(written)
		l.cut(l.write(config))
	}()
	handler.Linked(l.other)
	l.cut(l.read(handler))
	<-written
}

// read gives the handler what comes.
func (l *link) read(handler Handler) error {
	for {
		f, err := readFrame(l.reader, limit)
		if err != nil {
			return fmt.Errorf("cannot read from it: %w", err)
		}
		l.counters.framesIn.Add(1)
		switch {
		case f.lane != laneOwn:
			handler.Receive(l.other, f.kind, f.body)
		case f.kind != kindHeartbeat:
			return errUnexpects
		}
	}
}

// write sends what is queued, and a heartbeat when nothing is.
func (l *link) write(config Config) error {
	w := bufio.NewWriterSize(&outgoing{l.conn, config.WriteTimeout, l.counters}, writeBuffer)
	idle := time.NewTimer(config.Heartbeat)
	defer idle.Stop()
	var spare []frame
	for {
		urgent, bulk, open := l.queue.take(spare)
		if !open {
			return errClosed
		}
		spare = urgent
		if bulk == nil && len(urgent) == 0 {
			select {
			case <-l.queue.wake:
				runtime.Gosched() // whoever is about to send more: it goes out in the same write
				continue
			case <-idle.C:
				bulk = heartbeat()
			}
		}
		if err := l.flush(w, urgent, bulk); err != nil {
			return fmt.Errorf("cannot write to it: %w", err)
		}
		idle.Reset(config.Heartbeat)
	}
}

// heartbeat is a frame that nobody waits for.
func heartbeat() *bulkFrame {
	return &bulkFrame{frame: frame{kind: kindHeartbeat, lane: laneOwn}, done: make(chan error, 1)}
}

// flush writes frames, in one piece if they are small, and bulk, unless it is nil, behind them.
func (l *link) flush(w *bufio.Writer, urgent []frame, bulk *bulkFrame) (err error) {
	if bulk != nil {
		defer func() { bulk.done <- noLink(err) }()
	}
	for _, f := range urgent {
		if err := writeFrame(w, f); err != nil {
			return err
		}
	}
	written := len(urgent)
	if bulk != nil {
		if err := writeFrame(w, bulk.frame); err != nil {
			return err
		}
		written++
	}
	if err := w.Flush(); err != nil {
		return err
	}
	l.counters.framesOut.Add(uint64(written))
	l.queue.written(urgent)
	return nil
}

// noLink is what the sender of a frame is told that could not be written.
func noLink(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrNoLink, err)
}
