package mux

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/stead-io/stead/api/frames"
	"github.com/stead-io/stead/dataplane/forward"
)

const (
	// continueWait bounds the wait for 100 (Continue) before a body that could not be replayed is sent all the
	// same: a handler may not know the expectation (RFC 9110, section 10.1.1).
	continueWait = time.Second
	// lastWordsWait bounds the wait for an upload whose source is at its end, and that for the answer of a node
	// that takes no more.
	lastWordsWait = 50 * time.Millisecond
)

var (
	errHalted = errors.New("the rest of the request is not wanted")
	errSource = errors.New("the body cannot be read")
)

// upload sends a body beside the reading of the answer. It ends by itself or by finish; whoever started it
// waits for it.
type upload struct {
	stream  *stream
	request *forward.Request
	parcel  frames.Parcel

	done      chan struct{}
	halted    atomic.Bool
	exhausted atomic.Bool // the body's source has given all
	sent      bool        // the whole body is in line; read behind done
}

func startUpload(s *stream, r *forward.Request) *upload {
	u := &upload{stream: s, request: r, done: make(chan struct{})}
	s.flow.SetTakeDeadline(time.Time{}) // set again once the client has sent all
	go u.run()
	return u
}

// finish stops the upload and waits for it; it reports whether the whole body is on its way.
func (u *upload) finish() bool {
	u.halted.Store(true)
	u.stream.flow.Halt(u.stream.id, errHalted)
	<-u.done
	return u.sent
}

// over reports whether the whole body is on its way. An upload that lacks only the last words to the node is
// waited for: its answer may overtake them.
func (u *upload) over() bool {
	if u.exhausted.Load() {
		timer := time.NewTimer(lastWordsWait)
		defer timer.Stop()
		select {
		case <-u.done:
		case <-timer.C:
		}
	}
	select {
	case <-u.done:
		return u.sent
	default:
		return false
	}
}

func (u *upload) run() {
	defer close(u.done)
	s, body := u.stream, u.request.Body
	if u.request.ExpectContinue && !s.flow.AwaitAllowed(time.Now().Add(continueWait)) {
		return
	}
	if !u.write(body.Kept()) {
		return
	}
	for !body.Ended() {
		piece, err := body.More(frames.PieceMax)
		if err != nil {
			// The node must not take what it has for the whole; whoever waits for the answer wakes up too.
			s.flow.Fail(s.id, errSource)
			return
		}
		u.exhausted.Store(body.Ended())
		if u.halted.Load() || !u.write(piece) {
			return
		}
	}
	s.link.out.Lock()
	s.link.out.Put(appendEnd(s.link.out.Queue(), s.id, body))
	s.link.out.Release()
	u.sent = true
	s.flow.AwaitHeadBy(time.Now().Add(u.request.Wait))
}

// write sends octets of the body as the node takes them.
func (u *upload) write(piece []byte) bool {
	s := u.stream
	for len(piece) > 0 {
		s.flow.ExtendSending(time.Now().Add(u.request.Patience))
		n, err := s.flow.Reserve(min(len(piece), frames.PieceMax))
		if err != nil || s.link.out.Ship(&u.parcel, s.id, 0, piece[:n]) != nil {
			s.flow.AwaitHeadBy(time.Now().Add(lastWordsWait)) // a node that takes no more may have said why
			return false
		}
		piece = piece[n:]
	}
	return true
}
