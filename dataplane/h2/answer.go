package h2

import (
	"errors"
	"net/http"

	"github.com/stead-io/stead/dataplane/wire"
)

// answerHeadMax bounds the head of an answer, in octets: what there is room for where answers of nodes are read, and
// for what the proxy says itself.
const answerHeadMax = 64 << 10

// Errors of whoever writes an answer.
var (
	errBeyond    = errors.New("there are octets behind the answer")
	errAnswerMax = errors.New("the head of the answer is longer than it may be")
	errEndless   = errors.New("the answer has no end but that of its connection")
)

// answer makes an answer of HTTP/2 of octets of HTTP/1.1.
type answer struct {
	to      http.ResponseWriter
	control *http.ResponseController
	head    bool // the request was HEAD

	part   []byte // of a head that is not whole
	begun  bool   // the head, not an interim one, was taken
	parsed wire.Answer
	left   int64 // octets of the body to come, or wire.Chunked
	chunks wire.Chunks
}

// done reports whether the whole answer was taken.
func (a *answer) done() bool { return a.begun && a.left == 0 }

// holdsBack reports whether net/http may have octets of a whole body that the client opened no window for.
func (a *answer) holdsBack() bool { return a.parsed.Length > 0 }

// take takes octets, and sends what they say at once, but for the end.
func (a *answer) take(p []byte) error {
	for !a.begun && len(p) > 0 {
		var err error
		if p, err = a.takeHead(p); err != nil {
			return err
		}
	}
	if !a.begun {
		return nil
	}
	if err := a.takeBody(p); err != nil {
		return err
	}
	if a.done() {
		return nil
	}
	return a.control.Flush()
}

// takeHead takes a head, interim or not, and returns what is behind it; or what there is of it.
func (a *answer) takeHead(p []byte) (rest []byte, err error) {
	if len(a.part) > 0 {
		p = append(a.part, p...)
	}
	length := wire.HeadLength(p)
	if length == 0 {
		if len(p) > answerHeadMax {
			return nil, errAnswerMax
		}
		a.part = append(a.part[:0:0], p...)
		return nil, nil
	}
	a.part = nil
	if err := a.parsed.Parse(p[:length]); err != nil {
		return nil, err
	}
	if a.parsed.Length == wire.UntilClose && !a.head {
		return nil, errEndless
	}
	a.sendHead()
	return p[length:], nil
}

func (a *answer) sendHead() {
	header := a.to.Header()
	for i := range a.parsed.Fields {
		if field := &a.parsed.Fields[i]; a.passes(field.Kind) {
			header.Add(string(field.Name), string(field.Value))
		}
	}
	if a.parsed.Interim() {
		// This has net/http write a copy, and leave the field out: with a stream that ends meanwhile it returns while it
		// still writes.
		header["Transfer-Encoding"] = nil
	} else {
		a.begun = true
		if a.head {
			a.parsed.NoBody()
		}
		a.left = a.parsed.Length
		// net/http would say something itself.
		for _, name := range []string{"Date", "Content-Type"} {
			if len(header[name]) == 0 {
				header[name] = nil
			}
		}
	}
	a.to.WriteHeader(a.parsed.Status)
	clear(header)
}

// passes reports whether a field stands in HTTP/2, too. There a length beside status 304 is of no use, and clients of
// net/http wait for as much.
func (a *answer) passes(kind wire.Kind) bool {
	switch kind {
	case wire.Hop, wire.Connection, wire.TransferEncoding, wire.Upgrade:
		return false
	case wire.ContentLength:
		return a.parsed.Status != http.StatusNotModified
	default:
		return true
	}
}

// takeBody takes octets of the body, in whatever way that is framed.
func (a *answer) takeBody(p []byte) error {
	for len(p) > 0 && a.left != 0 {
		if a.left > 0 {
			piece := p[:min(int64(len(p)), a.left)]
			a.left -= int64(len(piece))
			p = p[len(piece):]
			if _, err := a.to.Write(piece); err != nil {
				return err
			}
			continue
		}
		n, piece, err := a.chunks.Next(p)
		if err == nil && len(piece) > 0 {
			_, err = a.to.Write(piece)
		}
		if err != nil {
			return err
		}
		if p = p[n:]; a.chunks.Done() {
			a.left = 0
			return a.trail(p)
		}
	}
	if len(p) > 0 {
		return errBeyond
	}
	return nil
}

// trail notes the trailers. The head goes out before: net/http would add a length to an answer that is short.
func (a *answer) trail(behind []byte) error {
	if len(behind) > 0 {
		return errBeyond
	}
	if err := a.control.Flush(); err != nil {
		return err
	}
	return wire.EachTrailer(a.chunks.Trailers(), func(name, value []byte) {
		a.to.Header().Add(http.TrailerPrefix+string(name), string(value))
	})
}
