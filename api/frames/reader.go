package frames

import "io"

// readerSize holds the longest frame, and what comes in one read when many are on their way.
const readerSize = 128 << 10

// Reader reads frames: as many at a time as have come.
type Reader struct {
	source     io.Reader
	buffer     []byte
	start, end int // what of buffer is unread
}

// NewReader returns a reader of a connection. Octets that were read from it before come first.
func NewReader(source io.Reader, before []byte) *Reader {
	r := &Reader{source: source, buffer: make([]byte, max(readerSize, len(before)))}
	r.end = copy(r.buffer, before)
	return r
}

// Next returns the next frame, valid until the call after it. The error is an Error, or the source's:
// io.EOF between frames, io.ErrUnexpectedEOF within one. After one of a deadline Next may be called again.
func (r *Reader) Next() (Frame, error) {
	for {
		whole, err := r.whole()
		if err != nil {
			return Frame{}, err
		}
		if whole > 0 {
			octets := r.buffer[r.start : r.start+whole]
			r.start += whole
			f, err := parse(octets)
			if err != nil || f.Type < TypeSkip {
				return f, err
			}
			continue
		}
		if err := r.fill(); err != nil {
			return Frame{}, err
		}
	}
}

// whole is the length of the next frame if all of it is there, else 0.
func (r *Reader) whole() (int, error) {
	unread := r.buffer[r.start:r.end]
	if len(unread) < HeaderSize {
		return 0, nil
	}
	length := size(unread)
	if length > payloadMax {
		return 0, errTooLong
	}
	if len(unread) < HeaderSize+length {
		return 0, nil
	}
	return HeaderSize + length, nil
}

func (r *Reader) fill() error {
	r.end = copy(r.buffer, r.buffer[r.start:r.end])
	r.start = 0
	n, err := r.source.Read(r.buffer[r.end:])
	r.end += n
	switch {
	case n > 0 || err == nil:
		return nil
	case err == io.EOF && r.end > 0:
		return io.ErrUnexpectedEOF
	default:
		return err
	}
}
