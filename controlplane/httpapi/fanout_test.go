package httpapi

import (
	"testing"

	"github.com/stead-io/stead/api"
)

type octets []byte

func (o octets) encode(answerKind) ([]byte, *api.Problem, error) { return o, nil, nil }

// Compressing what is small costs both sides more than it saves.
func TestWhatIsCompressed(t *testing.T) {
	f := func(size int, accepted, want bool) {
		t.Helper()
		p := &published{content: make(octets, size), answers: make(map[answerKind]*answer)}
		got, problem, err := p.encoded(answerKind{gzip: accepted})
		if problem != nil || err != nil || got.gzip != want || got.gzip == (len(got.octets) == size) {
			t.Errorf("%d bytes: compressed %v, to %d; %v, %v", size, got.gzip, len(got.octets), problem, err)
		}
	}
	f(compressMin, true, true)
	f(compressMin, false, false)
	f(compressMin-1, true, false)
	f(0, true, false)
}
