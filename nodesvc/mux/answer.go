package mux

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/stead-io/stead/api/frames"
)

// heldMax is how much of an answer is held until its handler ends, or flushes: so short an answer is one frame.
const heldMax = 4 << 10

// Fields of a handler that say what only the server can: how its answer is framed, and what it has no body for.
var (
	framing     = map[string]bool{"Transfer-Encoding": true}
	framingAll  = map[string]bool{"Transfer-Encoding": true, "Content-Length": true}
	unmodifying = map[string]bool{"Transfer-Encoding": true, "Content-Length": true, "Content-Type": true}
)

// errSwitch: a stream changes to no other protocol.
var errSwitch = errors.New("a handler switches protocols on a stream")

// answer is the http.ResponseWriter of one stream. It keeps to what net/http does: Content-Length of short
// answers, Content-Type by the first octets, Date, no bodies where there are none, and trailers.
type answer struct {
	stream  *stream
	id      uint64
	request *http.Request
	body    *body // of the request; nil: it has none
	header  http.Header
	over    atomic.Bool // the handler has returned
	parcel  frames.Parcel

	status        int
	typed, framed bool  // the handler set Content-Type or forbade to, and Transfer-Encoding
	dated         bool  // it set Date
	length        int64 // announced; less than 0: it is not
	written       int64
	sent          bool // the head is out
	trailers      trailers
	err           error
}

// Header is of the head, until that is written.
func (a *answer) Header() http.Header {
	if a.header == nil {
		a.header = make(http.Header)
	}
	return a.header
}

// WriteHeader writes an interim head at once, and fixes a final one.
func (a *answer) WriteHeader(status int) {
	switch {
	case status < 100 || status > 999:
		panic(fmt.Sprintf("mux: %d is no status", status))
	case a.status != 0 || a.over.Load():
		return
	case status == http.StatusSwitchingProtocols:
		a.status, a.err = status, errSwitch
		return
	case status < 200:
		a.interim(status)
		return
	}
	a.status = status
	a.forgoContinue()
	a.take()
}

// forgoContinue leaves a body that waits to be asked for where it is, unless it comes by itself.
func (a *answer) forgoContinue() {
	if a.body != nil {
		a.body.expected.Store(false)
	}
}

func (a *answer) interim(status int) {
	if status == http.StatusContinue {
		a.forgoContinue() // it is asked for here
	}
	var head bytes.Buffer
	appendStatus(&head, status)
	_ = a.Header().WriteSubset(&head, framingAll)
	head.WriteString("\r\n")
	if head.Len() > frames.HeadMax || a.over.Load() {
		return
	}
	out := a.stream.conn.out
	out.Lock()
	out.Put(frames.AppendHead(out.Queue(), a.id, 0, head.Bytes(), nil))
	out.Release()
}

// take fixes the fields, but for those that depend on the body.
func (a *answer) take() {
	s, header := a.stream, a.Header()
	_, a.typed = header["Content-Type"]
	_, a.dated = header["Date"]
	coding := header.Get("Transfer-Encoding")
	a.framed = coding != ""
	a.typed = a.typed || a.framed || header.Get("Content-Encoding") != ""
	a.trailers.take(header)
	exclude := framing
	switch {
	case a.status == http.StatusNotModified:
		exclude = unmodifying
	case a.status == http.StatusNoContent, a.framed && coding != "identity":
		exclude = framingAll
	default:
		a.takeLength()
	}
	s.fields.Reset()
	s.held = s.held[:0]
	appendStatus(&s.fields, a.status)
	_ = header.WriteSubset(&s.fields, exclude)
}

// takeLength drops a Content-Length that says nothing, as net/http does.
func (a *answer) takeLength() {
	text := a.header.Get("Content-Length")
	if text == "" {
		return
	}
	length, err := strconv.ParseInt(text, 10, 64)
	if err != nil || length < 0 {
		a.header.Del("Content-Length")
		return
	}
	a.length = length
}

func appendStatus(head *bytes.Buffer, status int) {
	head.WriteString("HTTP/1.1 ")
	head.WriteString(strconv.Itoa(status))
	head.WriteByte(' ')
	if text := http.StatusText(status); text != "" {
		head.WriteString(text)
	} else {
		fmt.Fprintf(head, "status code %d", status)
	}
	head.WriteString("\r\n")
}

// Write holds a short body back, and sends a longer one as the proxy takes it.
func (a *answer) Write(p []byte) (int, error) {
	if a.over.Load() {
		return 0, http.ErrHandlerTimeout
	}
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	if len(p) == 0 {
		return 0, a.err
	}
	if !hasBody(a.status) {
		return 0, http.ErrBodyNotAllowed
	}
	if a.written += int64(len(p)); a.length >= 0 && a.written > a.length {
		return 0, http.ErrContentLength
	}
	if a.headOnly() {
		a.keepForType(p)
		return len(p), nil
	}
	n := len(p)
	if len(a.stream.held)+n > a.holds() {
		p = a.ship(p)
	}
	a.stream.held = append(a.stream.held, p...)
	return n, a.err
}

func (a *answer) headOnly() bool { return a.request.Method == http.MethodHead }

// typeMax is how many octets tell a type (http.DetectContentType).
const typeMax = 512

// keepForType holds on to the octets of a body that is not sent, by which its type is told.
func (a *answer) keepForType(p []byte) {
	held := a.stream.held
	a.stream.held = append(held, p[:min(len(p), typeMax-min(len(held), typeMax))]...)
}

// holds is how much is held back: an answer of a known length, if that fits one frame.
func (a *answer) holds() int {
	if !a.sent && a.length > heldMax && a.length <= frames.PieceMax {
		return int(a.length)
	}
	return heldMax
}

// SetReadDeadline bounds reading the request's body; zero: no more.
func (a *answer) SetReadDeadline(by time.Time) error {
	if !a.over.Load() {
		a.stream.flow.SetTakeDeadline(by)
	}
	return nil
}

// SetWriteDeadline bounds writing the answer's body; zero: no more.
func (a *answer) SetWriteDeadline(by time.Time) error {
	if !a.over.Load() {
		a.stream.flow.SetSendDeadline(by)
	}
	return nil
}

// EnableFullDuplex is what streams are.
func (a *answer) EnableFullDuplex() error { return nil }

// hasBody reports whether answers of a status may have a body (RFC 9110, section 6.4.1).
func hasBody(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}
