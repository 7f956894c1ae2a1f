package peer

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"runtime"
	"testing"
	"testing/iotest"
)

func encode(f frame) []byte {
	var buffer bytes.Buffer
	w := bufio.NewWriter(&buffer)
	_ = errors.Join(writeFrame(w, f), w.Flush())
	return buffer.Bytes()
}

func decode(octets []byte) (frame, error) {
	return readFrame(bufio.NewReader(bytes.NewReader(octets)), limit)
}

func TestFramesComeBackAsTheyWere(t *testing.T) {
	for _, size := range []int{0, 1, bodyStep - 1, bodyStep, bodyStep + 1, 5*bodyStep + 3, FrameMax} {
		want := frame{kind: 200, lane: laneUrgent, body: bytes.Repeat([]byte{byte(size), 1}, size)[:size]}
		got, err := decode(encode(want))
		if err != nil || got.kind != want.kind || got.lane != want.lane || !bytes.Equal(got.body, want.body) {
			t.Errorf("%d octets: %v", size, err)
		}
	}
}

func TestFramesThatAreCutShort(t *testing.T) {
	whole := encode(frame{kind: 1, lane: laneBulk, body: []byte("body")})
	for length := range whole {
		_, err := readFrame(bufio.NewReader(iotest.OneByteReader(bytes.NewReader(whole[:length]))), limit)
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
			if _, err := decode(damaged); err == nil {
				t.Errorf("bit %d of octet %d may differ", bit, i)
			}
		}
	}
}

// What a length promises is not allocated before it comes.
func TestPromisesAreNotAllocated(t *testing.T) {
	promise := encode(frame{kind: 1, lane: laneUrgent, body: make([]byte, FrameMax)})[:headSize+1]
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := decode(promise); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 2*bodyStep {
		t.Errorf("%d bytes are allocated, of at most %d", allocated, 2*bodyStep)
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add(encode(frame{kind: 1, lane: laneUrgent, body: []byte("body")}))
	f.Add(encode(heartbeat().frame))
	f.Add(encode(frame{kind: kindGreeting, lane: laneOwn, body: []byte("{}")}))
	f.Fuzz(func(t *testing.T, octets []byte) {
		r := bufio.NewReader(bytes.NewReader(octets))
		for left := octets; ; {
			got, err := readFrame(r, limit)
			if err != nil {
				return
			}
			form := encode(got)
			if !bytes.HasPrefix(left, form) {
				t.Fatalf("%+v has another form", got)
			}
			left = left[len(form):]
		}
	})
}
