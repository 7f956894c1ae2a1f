package mux

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/stead-io/stead/api/frames"
)

// Why an answer cannot be whole.
var (
	errHeadTooLong = fmt.Errorf("the head of the answer is longer than %d octets", frames.HeadMax)
	errShort       = errors.New("the answer is shorter than announced")
)

// ship sends what is held and what is new; it returns what is left to be held.
func (a *answer) ship(p []byte) []byte {
	if held := len(a.stream.held); !a.sent && 0 < held && held < typeMax {
		more := min(typeMax-held, len(p)) // so much tells the type, however it is divided into pieces
		a.stream.held, p = append(a.stream.held, p[:more]...), p[more:]
	}
	a.sendHead(p)
	a.sendHeld()
	for len(p) > heldMax && a.err == nil {
		p = p[a.sendPiece(p):]
	}
	if a.err != nil {
		return nil
	}
	return p
}

// sendHead puts the head in line; the body by which its type is told begins with what is held, or with p.
func (a *answer) sendHead(p []byte) {
	if a.sent || a.err != nil {
		return
	}
	a.sent = true
	if held := a.stream.held; len(held) > 0 {
		p = held
	}
	head := a.complete(p, -1)
	if len(head) > frames.HeadMax {
		a.err = errHeadTooLong
		return
	}
	out := a.stream.conn.out
	out.Lock()
	out.Put(frames.AppendHead(out.Queue(), a.id, 0, head, nil))
	out.Unlock() // it goes with the first octets
}

// complete adds the fields that depend on the body, in net/http's order; a length less than 0 is not told.
func (a *answer) complete(body []byte, length int64) []byte {
	fields := &a.stream.fields
	if !a.dated {
		fields.WriteString("Date: ")
		fields.Write(time.Now().UTC().AppendFormat(fields.AvailableBuffer(), http.TimeFormat))
		fields.WriteString("\r\n")
	}
	if length >= 0 {
		fields.WriteString("Content-Length: ")
		fields.WriteString(strconv.FormatInt(length, 10))
		fields.WriteString("\r\n")
	}
	if !a.typed && len(body) > 0 {
		fields.WriteString("Content-Type: ")
		fields.WriteString(http.DetectContentType(body))
		fields.WriteString("\r\n")
	}
	if a.trailers.announced && a.endsOpenly() {
		fields.WriteString("Transfer-Encoding: chunked\r\n") // without which Trailer means nothing
	}
	fields.WriteString("\r\n")
	return fields.Bytes()
}

// endsOpenly reports a body of a length that is not announced, which trailers can follow.
func (a *answer) endsOpenly() bool { return a.length < 0 && hasBody(a.status) && !a.headOnly() }

func (a *answer) sendHeld() {
	held := a.stream.held
	if a.headOnly() {
		held = nil
	}
	for len(held) > 0 && a.err == nil {
		held = held[a.sendPiece(held):]
	}
	a.stream.held = a.stream.held[:0]
}

// sendPiece waits for room in the window, and for its turn.
func (a *answer) sendPiece(p []byte) int {
	n, err := a.stream.flow.Reserve(min(len(p), frames.PieceMax))
	if err == nil {
		err = a.stream.conn.out.Ship(&a.parcel, a.id, 0, p[:n])
	}
	a.err = err
	return n
}

// FlushError sends what is held.
func (a *answer) FlushError() error {
	if a.over.Load() {
		return http.ErrHandlerTimeout
	}
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	a.sendHead(nil)
	a.sendHeld()
	out := a.stream.conn.out
	out.Lock()
	out.Release()
	return a.err
}

// Flush is FlushError, for http.Flusher.
func (a *answer) Flush() { _ = a.FlushError() }

// finish sends the end of the answer. An error: the answer is not whole.
func (a *answer) finish() error {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	s := a.stream
	switch {
	case a.err != nil:
		return a.err
	case a.length >= 0 && a.written < a.length && hasBody(a.status) && !a.headOnly():
		return errShort
	case !a.sent:
		return a.finishWhole()
	}
	a.sendHeld()
	lines, err := a.lastWords()
	if a.err == nil {
		a.err = err
	}
	if a.err == nil {
		s.end(a, true, func(queue []byte) []byte { return appendEnd(queue, a.id, lines) })
	}
	return a.err
}

// lastWords are the trailers, if any can follow.
func (a *answer) lastWords() ([]byte, error) {
	if !a.endsOpenly() {
		return nil, nil
	}
	lines := a.trailers.lines(a.header)
	if len(lines) > frames.TrailersMax {
		return nil, errTrailersTooLong
	}
	return lines, nil
}

// finishWhole sends an answer in one frame, or two if there are trailers.
func (a *answer) finishWhole() error {
	s, head, length := a.stream, a.headOnly(), int64(-1)
	if a.length < 0 && hasBody(a.status) && !a.framed && !a.trailers.expected && (!head || 0 < a.written && a.written <= heldMax) {
		length = a.written
	}
	var lines []byte
	if length < 0 {
		var err error
		if lines, err = a.lastWords(); err != nil {
			return err
		}
	}
	octets := a.complete(s.held, length)
	if head {
		s.held = s.held[:0]
	}
	if len(octets) > frames.HeadMax {
		return errHeadTooLong
	}
	if len(s.held) > 0 {
		if _, err := s.flow.Reserve(len(s.held)); err != nil { // never waits: a window holds more
			return err
		}
	}
	s.end(a, true, func(queue []byte) []byte {
		if len(lines) == 0 {
			return frames.AppendHead(queue, a.id, frames.End, octets, s.held)
		}
		return appendEnd(frames.AppendHead(queue, a.id, 0, octets, s.held), a.id, lines)
	})
	return nil
}
