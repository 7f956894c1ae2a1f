package tunnel

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// frame makes one as a server sends it, or masked as a client does.
func frame(opcode byte, length int, mask bool) []byte {
	out := []byte{finalBit | opcode}
	bit := byte(0)
	if mask {
		bit = maskBit
	}
	switch {
	case length < 126:
		out = append(out, bit|byte(length))
	case length < 1<<16:
		out = binary.BigEndian.AppendUint16(append(out, bit|126), uint16(length))
	default:
		out = binary.BigEndian.AppendUint64(append(out, bit|127), uint64(length))
	}
	if mask {
		out = append(out, 1, 2, 3, 4)
	}
	return append(out, bytes.Repeat([]byte{0xFF}, length)...)
}

// TestFramesInPieces: however a stream is cut, its frames end where they end.
func TestFramesInPieces(t *testing.T) {
	for seed := range uint64(20) {
		draw := rand.New(rand.NewPCG(seed, 1))
		var stream []byte
		ends := map[int]bool{0: true}
		for range 20 {
			length := []int{0, 1, 125, 126, 200, 1<<16 - 1, 1 << 16}[draw.IntN(7)]
			stream = append(stream, frame(byte(draw.IntN(3)), length, draw.IntN(2) == 0)...)
			ends[len(stream)] = true
		}
		var f frames
		for at := 0; at < len(stream); {
			n := f.next(stream[at:min(len(stream), at+1+draw.IntN(3000))])
			at += n
			if f.between() != ends[at] {
				t.Fatalf("seed %d: between %v at %d", seed, f.between(), at)
			}
			for i := at - n + 1; i < at; i++ {
				if ends[i] {
					t.Fatalf("seed %d: passed the end at %d", seed, i)
				}
			}
		}
	}
}

func TestFramesThatEnd(t *testing.T) {
	var f frames
	f.follow(frame(1, 5, false))
	if !f.between() {
		t.Error("a frame does not end")
	}
	f.follow(closeFrame(1000, strings.Repeat("x", 200)))
	if f.between() || !f.closed || f.within {
		t.Errorf("behind a Close frame: %+v", f)
	}
	lost := frames{}
	lost.follow([]byte{0x82, 127, 0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 2})
	if !lost.lost || lost.between() {
		t.Errorf("a length beyond 2^63: %+v", lost)
	}
}

// FuzzFrames: cut anywhere, a stream is followed to the same place.
func FuzzFrames(f *testing.F) {
	f.Add(append(frame(1, 300, true), closeFrame(1012, "moved")...), 3)
	f.Fuzz(func(t *testing.T, stream []byte, cut int) {
		var whole, pieces frames
		whole.follow(stream)
		cut = min(max(cut, 1), 64)
		for piece := range slices.Chunk(stream, cut) {
			pieces.follow(piece)
		}
		if whole.lost != pieces.lost || !whole.lost && (whole.within != pieces.within || whole.have != pieces.have || whole.left != pieces.left || whole.closed != pieces.closed) {
			t.Errorf("whole %+v, in pieces of %d %+v", whole, cut, pieces)
		}
	})
}

func TestOffers(t *testing.T) {
	f := func(want string, values ...string) {
		t.Helper()
		if got := strings.Join(Offers(values...), " "); got != want {
			t.Errorf("%q offer %q, want %q", values, got, want)
		}
	}
	f("websocket", "websocket")
	f("websocket chat/1", "websocket, h2c", " chat/1 ,")
	f("", "h2c", "H2C", "h2", "HTTP/2.0", "TLS/1.2", "Stead-Mux/1", "stead-replication/1")
	f("", "", ",", "a b", "web\x00socket", "a/", "/b", "a/b/c")
	for _, agreed := range [][2]string{{"WebSocket", "WebSocket"}, {"chat/1", "chat/1"}, {"h2c", ""}, {"", ""}, {"websocket, chat/1", ""}} {
		if got := Agreed([]string{"websocket", "chat/1"}, agreed[0]); got != agreed[1] {
			t.Errorf("%q is agreed to as %q", agreed[0], got)
		}
	}
}
