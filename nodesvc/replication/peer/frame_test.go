package peer

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

func encode(f frame) []byte {
	var buffer bytes.Buffer
	_ = writeFrame(&buffer, f)
	return buffer.Bytes()
}

func TestFramesComeBackAsTheyWere(t *testing.T) {
	for _, size := range []int{0, 1, bodyStep - 1, bodyStep, bodyStep + 1, 5*bodyStep + 3, FrameMax} {
		want := frame{kind: 200, lane: laneUrgent, body: bytes.Repeat([]byte{byte(size), 1}, size)[:size]}
		got, err := readFrame(bytes.NewReader(encode(want)), limit)
		if err != nil || got.kind != want.kind || got.lane != want.lane || !bytes.Equal(got.body, want.body) {
			t.Errorf("%d octets: %v", size, err)
		}
	}
}

func TestFramesThatAreCutShort(t *testing.T) {
	whole := encode(frame{kind: 1, lane: laneBulk, body: []byte("body")})
	for length := range whole {
		_, err := readFrame(iotest.OneByteReader(bytes.NewReader(whole[:length])), limit)
		want := io.ErrUnexpectedEOF
		if length == 0 {
			want = io.EOF
		}
		if !errors.Is(err, want) {
			t.Errorf("%d octets: %v", length, err)
		}
	}
}

func TestEveryOctetCounts(t *testing.T) {
	whole := encode(frame{kind: 1, lane: laneBulk, body: []byte("body")})
	for i := range whole {
		for bit := range 8 {
			damaged := bytes.Clone(whole)
			damaged[i] ^= 1 << bit
			if _, err := readFrame(bytes.NewReader(damaged), limit); err == nil {
				t.Errorf("bit %d of octet %d may differ", bit, i)
			}
		}
	}
}

// What a length promises is not allocated before it comes.
func TestPromisesAreNotAllocated(t *testing.T) {
	promise := encode(frame{kind: 1, lane: laneUrgent, body: make([]byte, FrameMax)})[:headSize+1]
	result := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := readFrame(bytes.NewReader(promise), limit); !errors.Is(err, io.ErrUnexpectedEOF) {
				b.Fatal(err)
			}
		}
	})
	if most := int64(2 * bodyStep); result.AllocedBytesPerOp() > most {
		t.Errorf("%d bytes are allocated, of at most %d", result.AllocedBytesPerOp(), most)
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add(encode(frame{kind: 1, lane: laneUrgent, body: []byte("body")}))
	f.Add(encode(heartbeat().frame))
	f.Add(encode(frame{kind: kindGreeting, lane: laneOwn, body: []byte("{}")}))
	f.Fuzz(func(t *testing.T, octets []byte) {
		r := bytes.NewReader(octets)
		for {
			before := r.Len()
			got, err := readFrame(r, limit)
			if err != nil {
				return
			}
			at := len(octets) - before
			if !bytes.Equal(encode(got), octets[at:len(octets)-r.Len()]) {
				t.Fatalf("%+v has another form", got)
			}
		}
	})
}
