package kv

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/stead-io/stead/api"
)

// Large values take turns: the node would rather let clients wait than run out of memory. Storing a
// value takes several times its size.
const (
	// largeAfter is how many octets of a value are read before it counts as large.
	largeAfter = 1 << 20
	// largeMax is how many large values are read and stored at once; largeWait how long one waits for
	// its turn.
	largeMax  = 4
	largeWait = 10 * time.Second
	// stallMax is how long one that has its turn may stand still.
	stallMax   = 15 * time.Second
	uploadStep = 256 << 10
)

// uploads reads values, the large ones in turns.
type uploads struct{ turns chan struct{} }

func newUploads() *uploads { return &uploads{turns: make(chan struct{}, largeMax)} }

// read reads a body to its end, which it must reach within the limit. done, to be called when the value
// is not needed any more, ends its turn.
func (u *uploads) read(w http.ResponseWriter, r *http.Request) (value []byte, done func(), problem *api.Problem) {
	done = func() {}
	if r.ContentLength > ValueSizeMax {
		return nil, done, valueTooLarge("the body")
	}
	var buffer bytes.Buffer
	whole, problem := readUpTo(&buffer, r.Body, largeAfter)
	if whole || problem != nil {
		return buffer.Bytes(), done, problem
	}
	if !u.wait(r.Context()) {
		return nil, done, api.NewProblem(api.CodeOverloaded, "%d large values are being stored; nothing of this one was", largeMax)
	}
	if announced := int(r.ContentLength); announced > buffer.Len() {
		buffer.Grow(announced - buffer.Len() + bytes.MinRead) // or it would double its way there
	}
	problem = readLarge(&buffer, w, r.Body)
	return buffer.Bytes(), func() { <-u.turns }, problem
}

// wait is for a turn.
func (u *uploads) wait(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, largeWait)
	defer cancel()
	select {
	case u.turns <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// readLarge reads the rest of a body, as long as it moves.
func readLarge(buffer *bytes.Buffer, w http.ResponseWriter, body io.Reader) *api.Problem {
	connection := http.NewResponseController(w)
	defer func() { _ = connection.SetReadDeadline(time.Time{}) }()
	for buffer.Len() <= ValueSizeMax {
		_ = connection.SetReadDeadline(time.Now().Add(stallMax))
		whole, problem := readUpTo(buffer, body, uploadStep)
		if whole && buffer.Len() <= ValueSizeMax || problem != nil {
			return problem
		}
	}
	return valueTooLarge("the body")
}

// readUpTo reads so many octets more, or to the end: then the body is whole.
func readUpTo(buffer *bytes.Buffer, body io.Reader, octets int64) (whole bool, problem *api.Problem) {
	_, err := io.CopyN(buffer, body, octets)
	switch {
	case err == nil:
		return false, nil
	case errors.Is(err, io.EOF):
		return true, nil
	default:
		return false, api.NewProblem(api.CodeInvalid, "the body broke off after %d bytes; nothing was stored", buffer.Len())
	}
}
