package forward

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stead-io/stead/dataplane/wire"
)

// TestLoadWhole: a body up to the limit is all there and can be sent again; none of a longer one passes.
func TestLoadWhole(t *testing.T) {
	const most = 40_000
	var body Body
	f := func(source io.Reader, length, limit int64, want int, wantErr error) {
		t.Helper()
		body.Reset(source, length, limit)
		got, err := body.LoadWhole(most)
		if !errors.Is(err, wantErr) || len(got) != want || wantErr == nil && !body.Replayable() {
			t.Errorf("announced as %d: got %d octets, %v, want %d, %v", length, len(got), err, want, wantErr)
		}
	}
	text := func(size int) *strings.Reader { return strings.NewReader(strings.Repeat("x", size)) }
	for _, size := range []int{1, wholePiece, wholePiece + 1, most - 1, most} {
		f(text(size), int64(size), 1<<20, size, nil)
		f(text(size), wire.Chunked, 1<<20, size, nil)
		f(iotest.OneByteReader(text(size)), wire.Chunked, 1<<20, size, nil)
	}
	f(text(0), wire.Chunked, 1<<20, 0, nil)
	f(text(0), 0, 1<<20, 0, nil)
	f(text(most+1), wire.Chunked, 1<<20, 0, ErrBodyTooLarge)
	f(text(most+1), most+1, 1<<20, 0, ErrBodyTooLarge)
	f(text(101), wire.Chunked, 100, 0, ErrBodyTooLarge)
	f(text(9), 10, 1<<20, 0, io.ErrUnexpectedEOF)
	f(io.MultiReader(text(9), iotest.ErrReader(io.ErrNoProgress)), 10, 1<<20, 0, io.ErrNoProgress)
}
