package slotlog

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/stead-io/stead/api/ownership"
)

// ErrDamaged says that a file is not as it was written.
var ErrDamaged = errors.New("the file is damaged")

// A state's file is stateMagic, seq64, digest64 and their checksum, then blocks: length32, octets, checksum.
// Each checksum is the CRC-32C of the file from its start but for checksums, so that no block can be missing.
// The last block is empty.
const (
	stateMagic     = "stdstat1"
	stateHeadSize  = len(stateMagic) + 8 + 8
	stateBlockSize = 64 << 10 // bytes, at most
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// blockWriter writes the parts of a state's file.
type blockWriter struct {
	to     io.Writer
	sum    uint32
	buffer []byte
}

func (w *blockWriter) head(seq ownership.Seq, digest uint64) error {
	w.buffer = append(w.buffer[:0], stateMagic...)
	w.buffer = binary.BigEndian.AppendUint64(w.buffer, uint64(seq))
	w.buffer = binary.BigEndian.AppendUint64(w.buffer, digest)
	return w.flush()
}

// Write makes blocks of p.
func (w *blockWriter) Write(p []byte) (written int, err error) {
	for written < len(p) {
		block := p[written:min(written+stateBlockSize, len(p))]
		if err := w.block(block); err != nil {
			return written, err
		}
		written += len(block)
	}
	return written, nil
}

func (w *blockWriter) end() error { return w.block(nil) }

func (w *blockWriter) block(octets []byte) error {
	w.buffer = binary.BigEndian.AppendUint32(w.buffer[:0], uint32(len(octets)))
	w.buffer = append(w.buffer, octets...)
	return w.flush()
}

func (w *blockWriter) flush() error {
	w.sum = crc32.Update(w.sum, castagnoli, w.buffer)
	w.buffer = binary.BigEndian.AppendUint32(w.buffer, w.sum)
	_, err := w.to.Write(w.buffer)
	return err
}

// blockReader reads what blockWriter wrote; it hands out only what it has checked.
type blockReader struct {
	path string
	file io.Closer
	from *bufio.Reader
	sum  uint32
	rest []byte // of the block
	err  error
}

func (r *blockReader) head() (ownership.Seq, uint64, error) {
	head, err := r.part(stateHeadSize)
	if err != nil {
		return 0, 0, err
	}
	if string(head[:len(stateMagic)]) != stateMagic {
		return 0, 0, r.damaged("no state begins like this")
	}
	if err := r.check(); err != nil {
		return 0, 0, err
	}
	fields := head[len(stateMagic):]
	return ownership.Seq(binary.BigEndian.Uint64(fields)), binary.BigEndian.Uint64(fields[8:]), nil
}

func (r *blockReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 && r.err == nil {
		r.rest, r.err = r.block()
	}
	if len(r.rest) == 0 {
		return 0, r.err
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// block returns the next one, io.EOF for the one that ends the file.
func (r *blockReader) block() ([]byte, error) {
	length, err := r.part(4)
	if err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(length)
	if size > stateBlockSize {
		return nil, r.damaged("a block of %d bytes", size)
	}
	block, err := r.part(int(size))
	if err == nil {
		err = r.check()
	}
	if err != nil {
		return nil, err
	}
	if size > 0 {
		return block, nil
	}
	if _, err := r.from.ReadByte(); err != io.EOF {
		return nil, r.damaged("it goes on behind its end")
	}
	return nil, io.EOF
}

// part reads octets that the next checksum covers.
func (r *blockReader) part(size int) ([]byte, error) {
	octets := make([]byte, size)
	if _, err := io.ReadFull(r.from, octets); err != nil {
		return nil, r.torn(err)
	}
	r.sum = crc32.Update(r.sum, castagnoli, octets)
	return octets, nil
}

func (r *blockReader) check() error {
	var sum [4]byte
	if _, err := io.ReadFull(r.from, sum[:]); err != nil {
		return r.torn(err)
	}
	if binary.BigEndian.Uint32(sum[:]) != r.sum {
		return r.damaged("a checksum is wrong")
	}
	return nil
}

func (r *blockReader) torn(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return r.damaged("it ends too early")
	}
	return fmt.Errorf("cannot read state %s: %w", r.path, err)
}

func (r *blockReader) damaged(format string, args ...any) error {
	return fmt.Errorf("cannot read state %s: %w: %s", r.path, ErrDamaged, fmt.Sprintf(format, args...))
}

func (r *blockReader) Close() error { return r.file.Close() }
