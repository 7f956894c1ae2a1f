package mux

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/stead-io/stead/api/frames"
	"github.com/stead-io/stead/dataplane/forward"
)

const (
	// streamsMax is how many requests go over one connection at a time, if its node takes as many.
	streamsMax = 512
	// windowSize is how many octets of an answer's body are held for a client that does not read them.
	windowSize = 128 << 10
	// places is the size of the table of streams: a power of two, so that a number shows its place.
	places = 2 * streamsMax
)

// Violations of a node.
const (
	errHello   = frames.Error("the first frame is no hello, or a later one is")
	errNever   = frames.Error("a frame is for a stream that was never opened")
	errInterim = frames.Error("an interim answer has a body or ends its stream")
)

var (
	errClosed  = errors.New("the transport is closed")
	errIdle    = errors.New("the connection carries nothing")
	errLeft    = errors.New("the node takes no more requests")
	errSilent  = errors.New("the node has been silent since the request was sent")
	errRefused = errors.New("the node looked at nothing of the request")
	errReset   = errors.New("the node broke the answer off")
	errEnough  = errors.New("the node needs no more of the request")
	errSwitch  = errors.New("the node switched to another protocol on a stream")
	errHead    = fmt.Errorf("the head of the answer is longer than %d octets", forward.AnswerHeadMax)
)

// link is one connection to a node.
type link struct {
	socket net.Conn
	reader *frames.Reader
	heard  atomic.Uint64 // frames that have come
	drop   func()        // has another connection made in this one's place

	out     *frames.Outbox // its lock guards what follows
	limits  frames.Limits  // the node's
	table   [places]*stream
	free    []*stream
	last    uint64 // the number of the newest stream
	open    int
	away    bool   // no more streams are opened
	before  uint64 // last, when expire looked before
	settled bool
}

func newLink(socket net.Conn, reader *frames.Reader) *link {
	return &link{socket: socket, reader: reader, out: frames.NewOutbox(socket), drop: func() {}}
}

// greet takes the node's limits and tells ours.
func (l *link) greet(limits frames.Limits) {
	limits.Streams = min(limits.Streams, streamsMax)
	l.out.Lock()
	l.limits = limits
	l.out.Put(frames.AppendHello(l.out.Queue(), frames.Limits{Streams: streamsMax, Window: windowSize}))
	l.out.Release()
}

// begin opens a stream with a request's head, and the whole of a short body; nil if the connection takes none now.
func (l *link) begin(r *forward.Request) *stream {
	l.out.Lock()
	if l.away || l.open >= int(l.limits.Streams) || l.out.Err() != nil || l.out.Waiting() > frames.QueueHigh || len(r.Head) > frames.HeadMax {
		l.out.Unlock()
		return nil
	}
	for l.last++; l.table[l.last%places] != nil; l.last++ {
	}
	s := l.stream()
	l.table[l.last%places] = s
	l.open++
	s.begin(l.last, r)
	l.out.Put(s.appendRequest(l.out.Queue(), r))
	s.batch = l.out.Batch()
	l.out.Release()
	return s
}

// stream is one that is used again, or a new one.
func (l *link) stream() *stream {
	if last := len(l.free) - 1; last >= 0 {
		s := l.free[last]
		l.free = l.free[:last]
		return s
	}
	return &stream{link: l}
}

// find returns an open stream, under the lock; nil if it is over.
func (l *link) find(id uint64) (*stream, error) {
	if id > l.last {
		return nil, errNever
	}
	if s := l.table[id%places]; s != nil && s.id == id {
		return s, nil
	}
	return nil, nil
}

// end forgets a stream; with a reset, the node is told that it is of no more use.
func (l *link) end(s *stream, reset bool) {
	l.out.Lock()
	l.table[s.id%places] = nil
	l.open--
	s.flow.Forget()
	if reset {
		l.out.Put(frames.AppendReset(l.out.Queue(), s.id, frames.CodeCancel))
	}
	l.free = append(l.free, s)
	over := l.away && l.open == 0
	l.out.Release()
	if over {
		l.out.Close(errLeft)
	}
}

// taken reports whether the node may have seen anything of a stream.
func (l *link) taken(s *stream) bool {
	l.out.Lock()
	defer l.out.Unlock()
	return l.out.Taken(s.batch)
}

// retire opens no more streams: those that are open end by themselves.
func (l *link) retire(err error) {
	l.drop()
	l.out.Lock()
	l.away = true
	over := l.open == 0
	l.out.Unlock()
	if over {
		l.out.Close(err)
	}
}

// fail ends the connection and every stream on it.
func (l *link) fail(err error) {
	l.drop()
	l.out.Lock()
	l.away = true
	for _, s := range l.table {
		if s != nil {
			s.flow.Fail(s.id, err)
		}
	}
	l.out.Unlock()
	l.out.Close(err)
}

// expire ends a connection that has carried nothing since it was asked before.
func (l *link) expire() {
	l.out.Lock()
	idle := l.open == 0 && l.before == l.last && l.settled
	l.before, l.settled = l.last, true
	l.away = l.away || idle
	l.out.Unlock()
	if idle {
		l.fail(errIdle)
	}
}

func (l *link) read() error {
	for {
		frame, err := l.reader.Next()
		if err != nil {
			return err
		}
		l.heard.Add(1)
		if err := l.take(&frame); err != nil {
			return err
		}
	}
}

// take acts on a frame. The error is a violation, or the end.
func (l *link) take(f *frames.Frame) error {
	switch f.Type {
	case frames.TypeHello:
		return errHello
	case frames.TypeGoAway:
		return l.goAway(f.Number)
	}
	l.out.Lock()
	s, err := l.find(f.Stream)
	l.out.Unlock()
	switch {
	case s == nil:
		return err
	case f.Type == frames.TypeHead && interim(f.Head):
		return s.takeInterim(f)
	case f.Type == frames.TypeHead, f.Type == frames.TypeData, f.Type == frames.TypeTrailers:
		return s.flow.Deliver(f)
	case f.Type == frames.TypeWindow:
		return s.flow.Grant(f.Stream, int(f.Number))
	case f.Type == frames.TypeReset:
		s.flow.Fail(f.Stream, reason(frames.Code(f.Number)))
	}
	return nil
}

// interim reports a head with a status of 1xx.
func interim(head []byte) bool {
	const before = len("HTTP/1.1 ")
	return len(head) > before && head[before] == '1'
}

// takeInterim passes 100 (Continue) on to the upload, and others to whoever waits for the answer.
func (s *stream) takeInterim(f *frames.Frame) error {
	switch {
	case f.Ends() || len(f.Body) > 0:
		return errInterim
	case bytes.HasPrefix(f.Head, []byte("HTTP/1.1 100 ")):
		s.flow.Allow(f.Stream)
		return nil
	default:
		return s.flow.Hint(f)
	}
}

func reason(code frames.Code) error {
	switch code {
	case frames.CodeRefused:
		return errRefused
	case frames.CodeDone:
		return errEnough
	default:
		return errReset
	}
}

// goAway opens no more streams; those past the last that the node saw may go elsewhere.
func (l *link) goAway(last uint64) error {
	l.drop()
	l.out.Lock()
	defer l.out.Unlock()
	l.away = true
	for _, s := range l.table {
		if s != nil && s.id > last {
			s.flow.Fail(s.id, errRefused)
		}
	}
	if l.open == 0 {
		return errLeft
	}
	return nil
}
