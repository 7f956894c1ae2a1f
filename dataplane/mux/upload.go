package mux

import (
	"errors"
	"time"

	"github.com/stead-io/stead/api/frames"
	"github.com/stead-io/stead/dataplane/forward"
)

var (
	errHalted = errors.New("the rest of the request is not wanted")
	errSource = errors.New("the body cannot be read")
)

// upload sends a body over a stream.
type upload struct {
	forward.Sending
	stream  *stream
	request *forward.Request
	parcel  frames.Parcel
}

func startUpload(s *stream, r *forward.Request) *upload {
	u := &upload{stream: s, request: r}
	s.flow.SetTakeDeadline(time.Time{}) // set again once the client has sent all
	u.Prepare(r.Body)
	u.Start(u.run)
	return u
}

// finish stops the upload and waits for it; it reports whether the whole body is on its way.
func (u *upload) finish() bool {
	u.stream.flow.Halt(u.stream.id, errHalted)
	return u.Finish()
}

func (u *upload) run() bool {
	s := u.stream
	if u.request.ExpectContinue && !s.flow.AwaitAllowed(time.Now().Add(forward.ContinueWait)) {
		return false
	}
	for piece, err := range u.Pieces(frames.PieceMax) {
		if err != nil {
			// The node must not take what it has for the whole; whoever waits for the answer wakes up too.
			s.flow.Fail(s.id, errSource)
			return false
		}
		if !u.write(piece) {
			return false
		}
	}
	if !u.Whole() {
		return false
	}
	s.link.out.Lock()
	s.link.out.Put(appendEnd(s.link.out.Queue(), s.id, u.request.Body))
	s.link.out.Release()
	s.flow.AwaitHeadBy(time.Now().Add(u.request.Wait))
	return true
}

// write sends octets of the body as the node takes them.
func (u *upload) write(piece []byte) bool {
	s := u.stream
	for len(piece) > 0 {
		s.flow.ExtendSending(time.Now().Add(u.request.Patience))
		n, err := s.flow.Reserve(min(len(piece), frames.PieceMax))
		if err != nil || s.link.out.Ship(&u.parcel, s.id, 0, piece[:n]) != nil {
			s.flow.AwaitHeadBy(time.Now().Add(forward.LastWordsWait)) // a node that takes no more may have said why
			return false
		}
		piece = piece[n:]
	}
	return true
}
