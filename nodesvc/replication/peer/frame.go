package peer

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
)

// A frame is u32 length of the body, u8 kind, u8 lane, u32 CRC-32C of kind, lane and body, then the body; all
// big-endian.
const (
	headSize = 4 + 1 + 1 + 4
	bodyStep = 1 << 20 // bytes: what a length alone makes the reader allocate
)

// Lanes are on the wire: never renumbered.
const (
	laneOwn    uint8 = 0 // of this package
	laneUrgent uint8 = 1
	laneBulk   uint8 = 2
)

// Kinds of this package's own frames are on the wire: never renumbered.
const (
	kindGreeting  uint8 = 1
	kindRefusal   uint8 = 2
	kindHeartbeat uint8 = 3
)

const ownMax = 4 << 10 // bytes of the body of this package's own frames

var errBadFrame = errors.New("what came is not a frame")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type frame struct {
	kind, lane uint8
	body       []byte
}

// greetingLimit is limit while the other side is not known.
func greetingLimit(lane uint8) (sizeMax int, known bool) { return ownMax, lane == laneOwn }

// limit is how long the body may be; false for a lane there is not.
func limit(lane uint8) (sizeMax int, known bool) {
	switch lane {
	case laneOwn:
		return ownMax, true
	case laneUrgent:
		return FrameMax, true
	case laneBulk:
		return BulkMax, true
	}
	return 0, false
}

// appendHead appends what goes before the body.
func (f frame) appendHead(dst []byte) []byte {
	dst = append(binary.BigEndian.AppendUint32(dst, uint32(len(f.body))), f.kind, f.lane)
	named := crc32.Update(0, castagnoli, dst[len(dst)-2:])
	return binary.BigEndian.AppendUint32(dst, crc32.Update(named, castagnoli, f.body))
}

func writeFrame(w *bufio.Writer, f frame) error {
	if w.Available() < headSize {
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if _, err := w.Write(f.appendHead(w.AvailableBuffer())); err != nil {
		return err
	}
	_, err := w.Write(f.body)
	return err
}

// readFrame reads one frame, whose body is the caller's. The error is errBadFrame, io.EOF between frames, or the
// reader's.
func readFrame(r *bufio.Reader, limit func(lane uint8) (int, bool)) (frame, error) {
	head, err := r.Peek(headSize)
	if err != nil {
		if len(head) > 0 {
			err = noEOF(err)
		}
		return frame{}, err
	}
	f := frame{kind: head[4], lane: head[5]}
	length, sum := int64(binary.BigEndian.Uint32(head)), binary.BigEndian.Uint32(head[6:])
	if sizeMax, known := limit(f.lane); !known || length > int64(sizeMax) {
		return frame{}, fmt.Errorf("%w: %d octets in lane %d", errBadFrame, length, f.lane)
	}
	named := crc32.Update(0, castagnoli, head[4:6])
	_, _ = r.Discard(headSize) // so many are there
	if f.body, err = readBody(r, int(length)); err != nil {
		return frame{}, err
	}
	if crc32.Update(named, castagnoli, f.body) != sum {
		return frame{}, fmt.Errorf("%w: wrong checksum", errBadFrame)
	}
	return f, nil
}

// readBody allocates as octets come.
func readBody(r io.Reader, length int) ([]byte, error) {
	body := make([]byte, 0, min(length, bodyStep))
	for len(body) < length {
		have := len(body)
		step := min(length-have, max(have, bodyStep))
		body = slices.Grow(body, step)[:have+step]
		if _, err := io.ReadFull(r, body[have:]); err != nil {
			return nil, noEOF(err)
		}
	}
	return body, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
