package frames

import (
	"encoding/binary"
	"fmt"
)

const (
	// Protocol is what a proxy asks to upgrade to, and Path where.
	Protocol = "stead-mux/1"
	Path     = "/.stead/mux"

	// HeaderSize is how many octets stand before the payload of a frame.
	HeaderSize = 16
	// PieceMax is how many octets of a body go in one frame: so long a stream waits for another's.
	PieceMax = 32 << 10
	// HeadMax bounds the head of a request or answer.
	HeadMax = 64 << 10
	// TrailersMax bounds what comes behind a body.
	TrailersMax = 8 << 10

	headSizeLength = 4 // octets of the length of a head, before it
	payloadMax     = headSizeLength + HeadMax + PieceMax
)

// Type says what a frame is. The numbers are on the wire: never renumbered.
type Type uint8

// Types of frames. A reader skips those from TypeSkip on that it doesn't know; any other ends the connection.
const (
	TypeHello    Type = 1 // the first of each side: its limits
	TypeHead     Type = 2 // opens a stream, or answers on it: a head and what there is of its body
	TypeData     Type = 3 // more of a body
	TypeWindow   Type = 4 // so many more octets of a body may come
	TypeReset    Type = 5 // ends a stream, and says why
	TypeGoAway   Type = 6 // no stream past this one is served
	TypeTrailers Type = 7 // what stands behind a body, which ends with it
	TypeSkip     Type = 0x80
)

// End is the flag of the frame that ends its sender's half of the stream, on heads and data, and on all trailers.
const End uint8 = 1

// Code says why a stream was reset. The numbers are on the wire: never renumbered. One that is not known
// counts as CodeFailed.
type Code uint32

// Codes of resets.
const (
	CodeDone    Code = 0 // the answer is whole, and the rest of the request is not needed
	CodeCancel  Code = 1 // the sender has no use for the stream any more
	CodeRefused Code = 2 // nothing of the request was looked at: it may be sent again
	CodeFailed  Code = 3 // the sender failed
)

// Error is a violation of the protocol. Its connection carries nothing more.
type Error string

func (e Error) Error() string { return "stead-mux: " + string(e) }

// Violations of the layout.
const (
	errTooLong   = Error("a frame is longer than any may be")
	errReserved  = Error("reserved octets are not zero")
	errType      = Error("a frame of an unknown type")
	errFlags     = Error("a frame has not the flags of its type")
	errStream    = Error("a frame names a stream where none belongs, or none where one does")
	errLayout    = Error("a frame has not the length of its type")
	errHeadSize  = Error("a head is longer than its frame or the limit")
	errPieceSize = Error("a frame holds more of a body than one may")
	errTrailers  = Error("trailers are none, or longer than they may be")
	errIncrement = Error("a window grows by nothing, or by too much")
	errLimits    = Error("a hello's limits are below the least")
)

// Frame is one frame. Its slices are parts of what was read.
type Frame struct {
	Type   Type
	Flags  uint8
	Stream uint64
	// Head is the head of a TypeHead, Body what follows it, or all of a TypeData; Trailers are the lines of a
	// TypeTrailers.
	Head, Body, Trailers []byte
	// Number is the increment of a window, the code of a reset, and the last stream of a GoAway.
	Number uint64
	// Limits are a hello's.
	Limits Limits
}

// Ends reports whether its sender's half of the stream ends with the frame.
func (f *Frame) Ends() bool { return f.Flags&End != 0 }

// Limits are what one side takes. Each side says its own.
type Limits struct {
	// Streams is how many may be open at a time.
	Streams uint32
	// Window is how many octets of a body may be sent ahead on each stream.
	Window uint32
}

// WindowLeast is the smallest window: a body that short needs no leave.
const WindowLeast = 64 << 10

// windowMost is what a window may have grown to.
const windowMost = 1<<31 - 1

// size is the length of the payload that follows a header, at the start of data.
func size(header []byte) int { return int(binary.BigEndian.Uint32(header[4:])) }

// parse reads a frame that is there whole. Frames that are to be skipped have no more than their type.
func parse(octets []byte) (f Frame, err error) {
	f = Frame{Type: Type(octets[0]), Flags: octets[1], Stream: binary.BigEndian.Uint64(octets[8:])}
	payload := octets[HeaderSize:]
	if f.Type >= TypeSkip {
		return f, nil
	}
	if octets[2] != 0 || octets[3] != 0 {
		return f, errReserved
	}
	if !f.flagged() {
		return f, errFlags
	}
	if (f.Stream == 0) != (f.Type == TypeHello || f.Type == TypeGoAway) {
		return f, errStream
	}
	switch f.Type {
	case TypeHello:
		return f, f.parseHello(payload)
	case TypeHead:
		return f, f.parseHead(payload)
	case TypeData:
		f.Body = payload
		return f, checkPiece(payload)
	case TypeTrailers:
		f.Trailers = payload
		if len(payload) == 0 || len(payload) > TrailersMax {
			err = errTrailers
		}
	case TypeWindow:
		f.Number, err = number(payload, 4)
		if err == nil && (f.Number == 0 || f.Number > windowMost) {
			err = errIncrement
		}
	case TypeReset:
		f.Number, err = number(payload, 4)
	case TypeGoAway:
		f.Number, err = number(payload, 8)
	default:
		err = errType
	}
	return f, err
}

// flagged reports whether a frame has the flags that its type may have, and must.
func (f *Frame) flagged() bool {
	switch f.Type {
	case TypeHead, TypeData:
		return f.Flags&^End == 0
	case TypeTrailers:
		return f.Flags == End
	default:
		return f.Flags == 0
	}
}

// parseHello takes what it knows: octets behind that are a later version's.
func (f *Frame) parseHello(payload []byte) error {
	if len(payload) < 8 {
		return errLayout
	}
	f.Limits = Limits{Streams: binary.BigEndian.Uint32(payload), Window: binary.BigEndian.Uint32(payload[4:])}
	if f.Limits.Streams == 0 || f.Limits.Window < WindowLeast || f.Limits.Window > windowMost {
		return errLimits
	}
	return nil
}

func (f *Frame) parseHead(payload []byte) error {
	if len(payload) < headSizeLength {
		return errLayout
	}
	length := binary.BigEndian.Uint32(payload)
	payload = payload[headSizeLength:]
	if length > HeadMax || int(length) > len(payload) {
		return errHeadSize
	}
	f.Head, f.Body = payload[:length], payload[length:]
	return checkPiece(f.Body)
}

func checkPiece(body []byte) error {
	if len(body) > PieceMax {
		return errPieceSize
	}
	return nil
}

func number(payload []byte, octets int) (uint64, error) {
	switch {
	case len(payload) != octets:
		return 0, errLayout
	case octets == 4:
		return uint64(binary.BigEndian.Uint32(payload)), nil
	default:
		return binary.BigEndian.Uint64(payload), nil
	}
}

func appendHeader(dst []byte, kind Type, flags uint8, stream uint64, size int) []byte {
	dst = append(dst, byte(kind), flags, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(size))
	return binary.BigEndian.AppendUint64(dst, stream)
}

// AppendHello writes the first frame of a side.
func AppendHello(dst []byte, limits Limits) []byte {
	dst = appendHeader(dst, TypeHello, 0, 0, 8)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(dst, limits.Streams), limits.Window)
}

// AppendHead writes a head of at most HeadMax octets and as much of its body as PieceMax allows.
func AppendHead(dst []byte, stream uint64, flags uint8, head, body []byte) []byte {
	if len(head) > HeadMax || len(body) > PieceMax {
		panic(fmt.Sprintf("frames: a head of %d octets with a body of %d fits no frame", len(head), len(body)))
	}
	dst = appendHeader(dst, TypeHead, flags, stream, headSizeLength+len(head)+len(body))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(head)))
	return append(append(dst, head...), body...)
}

// AppendData writes at most PieceMax octets of a body.
func AppendData(dst []byte, stream uint64, flags uint8, body []byte) []byte {
	if len(body) > PieceMax {
		panic(fmt.Sprintf("frames: %d octets of a body fit no frame", len(body)))
	}
	return append(appendHeader(dst, TypeData, flags, stream, len(body)), body...)
}

// AppendTrailers ends a body with whole lines of fields, at least one octet and at most TrailersMax.
func AppendTrailers(dst []byte, stream uint64, lines []byte) []byte {
	if len(lines) == 0 || len(lines) > TrailersMax {
		panic(fmt.Sprintf("frames: %d octets of trailers fit no frame", len(lines)))
	}
	return append(appendHeader(dst, TypeTrailers, End, stream, len(lines)), lines...)
}

// AppendWindow lets the other side send so many more octets of a body.
func AppendWindow(dst []byte, stream uint64, increment int) []byte {
	return binary.BigEndian.AppendUint32(appendHeader(dst, TypeWindow, 0, stream, 4), uint32(increment))
}

// AppendReset ends a stream.
func AppendReset(dst []byte, stream uint64, code Code) []byte {
	return binary.BigEndian.AppendUint32(appendHeader(dst, TypeReset, 0, stream, 4), uint32(code))
}

// AppendGoAway says that no stream past last is served.
func AppendGoAway(dst []byte, last uint64) []byte {
	return binary.BigEndian.AppendUint64(appendHeader(dst, TypeGoAway, 0, 0, 8), last)
}
