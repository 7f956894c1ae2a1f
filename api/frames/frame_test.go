package frames

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// TestOctets holds the layouts: they are on the wire.
func TestOctets(t *testing.T) {
	f := func(octets []byte, want string, wantFrame Frame) {
		t.Helper()
		if got := hex.EncodeToString(octets); got != strings.ReplaceAll(want, " ", "") {
			t.Errorf("got %s, want %s", got, want)
		}
		got, err := NewReader(iotest.OneByteReader(bytes.NewReader(octets)), nil).Next()
		if err != nil || got.Type != wantFrame.Type || got.Flags != wantFrame.Flags || got.Stream != wantFrame.Stream || got.Number != wantFrame.Number ||
			got.Limits != wantFrame.Limits || string(got.Head) != string(wantFrame.Head) || string(got.Body) != string(wantFrame.Body) ||
			string(got.Trailers) != string(wantFrame.Trailers) {
			t.Errorf("read %+v, %v, want %+v", got, err, wantFrame)
		}
	}
	f(AppendHello(nil, Limits{Streams: 512, Window: 131072}), "01000000 00000008 0000000000000000 00000200 00020000",
		Frame{Type: TypeHello, Limits: Limits{512, 131072}})
	f(AppendHead(nil, 7, End, []byte("abc"), []byte("de")), "02010000 00000009 0000000000000007 00000003 616263 6465",
		Frame{Type: TypeHead, Flags: End, Stream: 7, Head: []byte("abc"), Body: []byte("de")})
	f(AppendData(nil, 1<<40, 0, []byte("x")), "03000000 00000001 0000010000000000 78", Frame{Type: TypeData, Stream: 1 << 40, Body: []byte("x")})
	f(AppendData(nil, 1, End, nil), "03010000 00000000 0000000000000001", Frame{Type: TypeData, Flags: End, Stream: 1})
	f(AppendTrailers(nil, 4, []byte("A: b\r\n")), "07010000 00000006 0000000000000004 413a20620d0a",
		Frame{Type: TypeTrailers, Flags: End, Stream: 4, Trailers: []byte("A: b\r\n")})
	f(AppendWindow(nil, 2, 65536), "04000000 00000004 0000000000000002 00010000", Frame{Type: TypeWindow, Stream: 2, Number: 65536})
	f(AppendReset(nil, 3, CodeRefused), "05000000 00000004 0000000000000003 00000002", Frame{Type: TypeReset, Stream: 3, Number: 2})
	f(AppendGoAway(nil, 9), "06000000 00000008 0000000000000000 0000000000000009", Frame{Type: TypeGoAway, Number: 9})
}

// TestViolations: what ends a connection, and what a later version may say.
func TestViolations(t *testing.T) {
	f := func(text string, want error) {
		t.Helper()
		octets, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		octets = append(octets, make([]byte, payloadMax)...)
		if _, err := NewReader(bytes.NewReader(octets), nil).Next(); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
	f("03000000 00018005 0000000000000001", errTooLong)
	f("03000000 ffffffff 0000000000000001", errTooLong)
	f("80000000 ffffffff 0000000000000001", errTooLong)
	f("03000001 00000000 0000000000000001", errReserved)
	f("08000000 00000000 0000000000000001", errType)
	f("07000000 00000001 0000000000000001 00", errFlags)
	f("07030000 00000001 0000000000000001 00", errFlags)
	f("07010000 00000000 0000000000000001", errTrailers)
	f("07010000 00002001 0000000000000001", errTrailers)
	f("07010000 00000001 0000000000000000 00", errStream)
	f("00000000 00000000 0000000000000001", errType)
	f("03020000 00000000 0000000000000001", errFlags)
	f("04010000 00000004 0000000000000001 00000001", errFlags)
	f("03000000 00000000 0000000000000000", errStream)
	f("06000000 00000008 0000000000000001 0000000000000001", errStream)
	f("01000000 00000007 0000000000000000", errLayout)
	f("01000000 00000008 0000000000000000 00000000 00010000", errLimits)
	f("01000000 00000008 0000000000000000 00000001 0000ffff", errLimits)
	f("01000000 00000008 0000000000000000 00000001 80000000", errLimits)
	f("02000000 00000003 0000000000000001 000000", errLayout)
	f("02000000 00000006 0000000000000001 00000003 6161", errHeadSize)
	f("02000000 00018004 0000000000000001 00010001", errHeadSize)
	f("02000000 0000a004 0000000000000001 00000000", errPieceSize)
	f("03000000 00008001 0000000000000001", errPieceSize)
	f("04000000 00000004 0000000000000001 00000000", errIncrement)
	f("04000000 00000004 0000000000000001 80000000", errIncrement)
	f("04000000 00000003 0000000000000001", errLayout)
	f("05000000 00000005 0000000000000001", errLayout)
	f("06000000 00000004 0000000000000000", errLayout)
	// A hello may be longer, and frames of types to skip may hold anything.
	f("01000000 0000000a 0000000000000000 00000001 00010000 ffff", nil)
	f("ffffffff 00000002 ffffffffffffffff 0102 03000000 00000000 0000000000000001", nil)
}

// TestReaderEnds tells the end between frames from that within one.
func TestReaderEnds(t *testing.T) {
	octets := AppendData(nil, 1, 0, []byte("hello"))
	f := func(n int, want error) {
		t.Helper()
		r := NewReader(bytes.NewReader(octets[:n]), octets)
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Next(); err != want {
			t.Errorf("%d octets: %v, want %v", n, err, want)
		}
	}
	f(0, io.EOF)
	f(1, io.ErrUnexpectedEOF)
	f(len(octets)-1, io.ErrUnexpectedEOF)
	f(len(octets), nil)
}

// FuzzReader: whatever comes, in whatever pieces, frames are within their limits, and say again what was read.
func FuzzReader(f *testing.F) {
	f.Add(AppendHead(AppendHello(nil, Limits{1, WindowLeast}), 1, End, []byte("GET / HTTP/1.1\r\n\r\n"), []byte("b")), 3)
	f.Add(AppendReset(AppendWindow(AppendData(AppendGoAway(nil, 3), 1, 0, []byte("x")), 1, 5), 1, CodeDone), 16)
	f.Add(AppendTrailers(AppendHead(nil, 9, 0, []byte("HTTP/1.1 200 OK\r\n\r\n"), nil), 9, []byte("A: b\r\n")), 5)
	f.Add([]byte{0xff, 0, 0, 0, 0, 0, 0, 0}, 1)
	f.Fuzz(func(t *testing.T, octets []byte, piece int) {
		r := NewReader(&inPieces{octets, 1 + max(0, piece)%4096}, nil)
		for {
			frame, err := r.Next()
			if err != nil {
				return
			}
			again := encode(&frame)
			back, err := NewReader(bytes.NewReader(again), nil).Next()
			if err != nil || !bytes.Equal(encode(&back), again) {
				t.Fatalf("%+v is not what it says: %v", frame, err)
			}
			if frame.Type != TypeHello && !bytes.Contains(octets, again) {
				t.Fatalf("%x was not sent", again)
			}
		}
	})
}

func encode(f *Frame) []byte {
	switch f.Type {
	case TypeHello:
		return AppendHello(nil, f.Limits)
	case TypeHead:
		return AppendHead(nil, f.Stream, f.Flags, f.Head, f.Body)
	case TypeData:
		return AppendData(nil, f.Stream, f.Flags, f.Body)
	case TypeTrailers:
		return AppendTrailers(nil, f.Stream, f.Trailers)
	case TypeWindow:
		return AppendWindow(nil, f.Stream, int(f.Number))
	case TypeReset:
		return AppendReset(nil, f.Stream, Code(f.Number))
	default:
		return AppendGoAway(nil, f.Number)
	}
}

type inPieces struct {
	octets []byte
	size   int
}

func (p *inPieces) Read(into []byte) (int, error) {
	if len(p.octets) == 0 {
		return 0, io.EOF
	}
	n := copy(into, p.octets[:min(p.size, len(p.octets))])
	p.octets = p.octets[n:]
	return n, nil
}
