package kv

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/stead-io/stead/api"
)

const (
	// uploadsMax bounds the octets of all values being read or written at once. What goes beyond is
	// refused: the node would rather be busy than out of memory.
	uploadsMax = 256 << 20
	// uploadStep is how much is reserved, and read, at a time: a client that announces much and sends
	// little takes up little.
	uploadStep = 256 << 10
)

// uploads counts the octets of values in memory.
type uploads struct{ held atomic.Int64 }

// read reads a body to its end, which it must reach within the limit. The value, whatever there is of
// it, counts until it is released.
func (u *uploads) read(r *http.Request) ([]byte, *api.Problem) {
	if r.ContentLength > ValueSizeMax {
		return nil, valueTooLarge("the body")
	}
	var value bytes.Buffer
	for value.Len() <= ValueSizeMax {
		before := value.Len()
		if u.held.Add(uploadStep) > uploadsMax {
			u.held.Add(-uploadStep)
			return value.Bytes(), api.NewProblem(api.CodeOverloaded, "this node reads %d MiB of values already; nothing was stored", uploadsMax>>20)
		}
		_, err := io.CopyN(&value, r.Body, uploadStep)
		u.held.Add(int64(value.Len()-before) - uploadStep)
		switch {
		case errors.Is(err, io.EOF) && value.Len() <= ValueSizeMax:
			return value.Bytes(), nil
		case err != nil && !errors.Is(err, io.EOF):
			return value.Bytes(), api.NewProblem(api.CodeInvalid, "the body broke off after %d bytes; nothing was stored", value.Len())
		}
	}
	return value.Bytes(), valueTooLarge("the body")
}

// release forgets a value that was read.
func (u *uploads) release(value []byte) { u.held.Add(-int64(len(value))) }
