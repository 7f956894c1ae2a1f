package tunnel

import "encoding/binary"

// Parts of a WebSocket frame (RFC 6455, section 5.2).
const (
	opcodeBits  = 0x0F
	opcodeClose = 0x8
	finalBit    = 0x80
	maskBit     = 0x80
	lengthBits  = 0x7F
	frameHead   = 2 // octets that every frame has
	maskLength  = 4
	controlMax  = 125 // octets that a control frame carries
)

// frames follows a stream of WebSocket frames, so that it is known where one ends. Extensions change what frames
// carry, not where they end.
type frames struct {
	head   [frameHead + 8 + maskLength]byte
	have   int    // octets of the head that came
	left   uint64 // octets of the frame to come behind its head
	within bool   // the head is whole, and some of what it announces is to come
	closed bool   // a Close frame has begun: no frame may follow it
	lost   bool   // what came is no frame: nothing is known any more
}

// between reports whether the stream stands between two frames, where one more may be put.
func (f *frames) between() bool { return !f.within && f.have == 0 && !f.closed && !f.lost }

// follow takes note of all octets.
func (f *frames) follow(p []byte) {
	for len(p) > 0 && !f.lost {
		p = p[f.next(p):]
	}
}

// followToClose takes note of all octets before a Close frame, and returns how many those are.
func (f *frames) followToClose(p []byte) (n int) {
	for n < len(p) && !f.lost {
		if f.between() && p[n]&opcodeBits == opcodeClose {
			return n
		}
		n += f.next(p[n:])
	}
	return len(p)
}

// next takes note of octets up to the end of the frame under way, and returns how many those are.
func (f *frames) next(p []byte) (n int) {
	for !f.within {
		if n == len(p) || f.lost {
			return n
		}
		f.head[f.have] = p[n]
		f.have++
		n++
		f.readHead()
		if f.have == 0 {
			return n // a frame without a payload
		}
	}
	rest := min(f.left, uint64(len(p)-n))
	n += int(rest)
	if f.left -= rest; f.left == 0 {
		f.within, f.have = false, 0
	}
	return n
}

// readHead looks whether the head is whole.
func (f *frames) readHead() {
	if f.have < frameHead || f.have < f.headLength() {
		return
	}
	f.left = uint64(f.head[1] & lengthBits)
	switch f.left {
	case 126:
		f.left = uint64(binary.BigEndian.Uint16(f.head[frameHead:]))
	case 127:
		f.left = binary.BigEndian.Uint64(f.head[frameHead:])
	}
	f.closed = f.closed || f.head[0]&opcodeBits == opcodeClose
	f.lost = f.left>>63 != 0
	f.within = f.left > 0
	if !f.within {
		f.have = 0
	}
}

func (f *frames) headLength() int {
	length := frameHead
	switch f.head[1] & lengthBits {
	case 126:
		length += 2
	case 127:
		length += 8
	}
	if f.head[1]&maskBit != 0 {
		length += maskLength
	}
	return length
}

// closeFrame is the frame with which a server ends a WebSocket (RFC 6455, section 5.5.1).
func closeFrame(code uint16, reason string) []byte {
	reason = reason[:min(len(reason), controlMax-2)]
	frame := []byte{finalBit | opcodeClose, byte(2 + len(reason))}
	return append(binary.BigEndian.AppendUint16(frame, code), reason...)
}
