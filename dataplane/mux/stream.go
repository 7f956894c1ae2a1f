package mux

import (
	"errors"
	"io"
	"os"
	"slices"

	"github.com/stead-io/stead/api/frames"
	"github.com/stead-io/stead/dataplane/forward"
	"github.com/stead-io/stead/dataplane/wire"
)

// stream carries one request; while it does, it is the answer. It is used again for others of its connection.
type stream struct {
	link  *link
	flow  frames.Flow
	id    uint64
	batch uint64 // the write that takes its head
	heard uint64 // frames the connection had got before

	request  *forward.Request
	upload   *upload // nil: the request went out whole
	answer   wire.Answer
	left     int64 // octets of the body to come; less than 0: not known
	finished bool  // the answer was read to its end
}

// begin takes a request, under the connection's lock.
func (s *stream) begin(id uint64, r *forward.Request) {
	s.id, s.request, s.upload, s.finished = id, r, nil, false
	s.heard = s.link.heard.Load()
	s.flow.Begin(id, windowSize, s.link.limits.Window)
	s.flow.Extend(r.Deadline)
}

// appendRequest writes the head, and the body if that is all there: a window has room for it.
func (s *stream) appendRequest(queue []byte, r *forward.Request) []byte {
	if r.Body == nil {
		return frames.AppendHead(queue, s.id, frames.End, r.Head, nil)
	}
	if streams(r) {
		return frames.AppendHead(queue, s.id, 0, r.Head, nil)
	}
	body, flags := r.Body.Kept(), frames.End
	if len(r.Body.Trailers()) > 0 {
		flags = 0
	}
	if len(body) > frames.PieceMax {
		queue = frames.AppendHead(queue, s.id, 0, r.Head, nil)
		queue = frames.AppendData(queue, s.id, 0, body[:frames.PieceMax])
		queue = frames.AppendData(queue, s.id, flags, body[frames.PieceMax:])
	} else {
		queue = frames.AppendHead(queue, s.id, flags, r.Head, body)
	}
	if flags == 0 {
		queue = appendEnd(queue, s.id, r.Body)
	}
	return queue
}

// appendEnd writes what ends a body.
func appendEnd(queue []byte, id uint64, body *forward.Body) []byte {
	if lines := body.Trailers(); len(lines) > 0 {
		return frames.AppendTrailers(queue, id, lines)
	}
	return frames.AppendData(queue, id, frames.End, nil)
}

// streams reports whether a body goes out beside the answer.
func streams(r *forward.Request) bool {
	return r.Body != nil && (!r.Body.Ended() || !r.Body.Replayable() || len(r.Body.Kept()) > frames.WindowLeast)
}

// exchange waits for the head of the answer. With again, nothing speaks against sending the request once more
// where a failure stands.
func (s *stream) exchange(r *forward.Request) (failure *forward.Failure, again bool) {
	if r.Client != nil && !r.Client.Hold((*abandoned)(s)) {
		return s.settle(r, forward.ErrClientGone)
	}
	if streams(r) {
		s.upload = startUpload(s, r)
	}
	if err := s.awaitAnswer(r); err != nil {
		return s.settle(r, err)
	}
	if r.HeadOnly {
		s.answer.NoBody()
	}
	s.left = -1
	if s.answer.Length >= 0 {
		s.left = s.answer.Length
	}
	s.finished = s.left == 0
	return nil, false
}

// awaitAnswer reads the head of the answer, and passes interim ones on.
func (s *stream) awaitAnswer(r *forward.Request) error {
	for {
		head, err := s.flow.AwaitHead()
		if err == nil {
			err = s.answer.Parse(head)
		}
		switch {
		case err != nil:
			return err
		case len(head) > forward.AnswerHeadMax:
			return errHead
		case s.answer.Status == 101:
			return errSwitch
		case !s.answer.Interim():
			return nil
		case r.Client != nil:
			r.Client.Interim(&s.answer)
		}
	}
}

// settle gives the stream up and tells what went wrong, and whether the request may be sent again.
func (s *stream) settle(r *forward.Request, err error) (*forward.Failure, bool) {
	if s.upload != nil {
		r.Stop(r.Safe || errors.Is(err, errRefused) || !s.link.taken(s))
		s.upload.finish()
	}
	unseen := errors.Is(err, errRefused) || !s.link.taken(s)
	if !s.release() {
		err = forward.ErrClientGone
	}
	failure := &forward.Failure{Stage: stageOf(r, err), Err: err}
	silent := failure.Stage == forward.TimedOut && s.link.heard.Load() == s.heard
	link := s.link
	s.Close()
	if silent {
		link.retire(errSilent)
	}
	replayable := r.Body == nil || r.Body.Replayable()
	return failure, failure.Stage == forward.NotAnswered && replayable && (unseen || r.Safe)
}

// broken is what a node answers that is no answer.
var broken = []error{errReset, errEnough, errSwitch, errHead}

func stageOf(r *forward.Request, err error) forward.Stage {
	var syntax wire.SyntaxError
	switch {
	case r.Body != nil && r.Body.Err() != nil:
		return forward.ClientFailed
	case errors.Is(err, forward.ErrClientGone):
		return forward.ClientGone
	case errors.Is(err, os.ErrDeadlineExceeded):
		return forward.TimedOut
	case errors.As(err, &syntax), slices.Contains(broken, err):
		return forward.Broken
	default:
		return forward.NotAnswered
	}
}

// abandoned is a stream whose client has left; closing it says so to whoever waits for the answer.
type abandoned stream

func (a *abandoned) Close() error {
	a.flow.Fail(a.id, forward.ErrClientGone)
	return nil
}

// release tells the client that the stream is its no more; false if it has left before.
func (s *stream) release() bool {
	if s.request == nil || s.request.Client == nil {
		return true
	}
	return s.request.Client.Hold(nil)
}

// Head is the head of the answer, valid until Close.
func (s *stream) Head() *wire.Answer { return &s.answer }

// Ready reports whether Next returns without waiting.
func (s *stream) Ready() bool { return s.finished || s.flow.Ready() }

// Next returns the next octets of the body, valid until the call after it and perhaps none; io.EOF behind the
// last.
func (s *stream) Next() ([]byte, error) {
	if s.finished {
		return nil, io.EOF
	}
	piece, grant, err := s.flow.Take(s.request.Patience)
	if grant > 0 {
		s.link.out.Lock()
		s.link.out.Put(frames.AppendWindow(s.link.out.Queue(), s.id, grant))
		s.link.out.Release()
	}
	switch {
	case err == io.EOF && s.left > 0:
		return nil, io.ErrUnexpectedEOF
	case err == io.EOF:
		s.finished = true
		return nil, s.end()
	case err != nil:
		return nil, err
	case s.left < 0:
		return piece, nil
	case int64(len(piece)) > s.left:
		piece = piece[:s.left]
	}
	s.left -= int64(len(piece))
	s.finished = s.left == 0
	return piece, nil
}

// end looks at what came behind the body: what is malformed there ends no answer.
func (s *stream) end() error {
	if err := wire.CheckTrailerLines(s.flow.Trailers()); err != nil {
		return err
	}
	return io.EOF
}

// Trailers are the lines behind the body that may be passed on. An answer that names fields of its connection has
// none, as over HTTP/1.1.
func (s *stream) Trailers() []byte {
	lines := s.flow.Trailers()
	if len(lines) == 0 || s.answer.NamesFields() {
		return nil
	}
	return wire.AppendTrailers(nil, lines, &wire.Head{})
}

// Uploaded reports whether the node has been sent the whole request.
func (s *stream) Uploaded() bool { return s.upload == nil || s.upload.Over() }

// Close ends the exchange, wherever it stands.
func (s *stream) Close() {
	sent := true
	if s.upload != nil {
		sent = s.upload.finish()
		s.upload = nil
	}
	s.release()
	s.request = nil
	s.link.end(s, !sent || !s.finished)
}
