package forward

import (
	"errors"
	"strings"
	"testing"

	"github.com/stead-io/stead/dataplane/wire"
)

// TestRoom: long bodies share what there is, one that finds none passes without being kept, and whoever is done makes room.
func TestRoom(t *testing.T) {
	room := NewRoom(ReplayMax)
	begin := func(body *Body, length, announced int64) {
		body.Reset(strings.NewReader(strings.Repeat("x", int(length))), announced, 1<<30)
		body.KeepIn(room)
	}
	read := func(body *Body) (octets int) {
		for !body.ended {
			piece, err := body.more(uploadPiece)
			if err != nil {
				t.Fatal(err)
			}
			octets += len(piece)
		}
		return octets
	}
	var first, second, short, whole Body
	const length = 900_000
	begin(&first, length, length)
	if read(&first) != length || !first.Replayable() || room.Taken() < length || room.Taken() > ReplayMax {
		t.Errorf("the first: replayable %v, %d taken", first.Replayable(), room.Taken())
	}
	begin(&second, length, wire.Chunked)
	if octets := read(&second); octets != length || second.Replayable() || cap(second.kept) > LoadMax {
		t.Errorf("without room: %d octets, replayable %v, %d held", octets, second.Replayable(), cap(second.kept))
	}
	for _, size := range []int64{1, 40_000, LoadMax} { // grows from one to the next
		begin(&short, size, size)
		if err := short.Load(); err != nil || int64(len(short.Kept())) != size || !short.Replayable() {
			t.Errorf("a short one of %d: %d octets, %v", size, len(short.Kept()), err)
		}
	}
	begin(&whole, 2*LoadMax, wire.Chunked)
	if _, err := whole.LoadWhole(4 * LoadMax); !errors.Is(err, ErrNoRoom) {
		t.Errorf("one that must be whole: %v", err)
	}
	for _, body := range []*Body{&first, &second, &short, &whole} {
		body.Reset(nil, 0, 0)
	}
	if room.Taken() != 0 {
		t.Errorf("%d octets stay taken", room.Taken())
	}
	begin(&whole, 2*LoadMax, wire.Chunked)
	if text, err := whole.LoadWhole(4 * LoadMax); err != nil || len(text) != 2*LoadMax {
		t.Errorf("with room: %d octets, %v", len(text), err)
	}
}
