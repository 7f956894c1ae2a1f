package slotlog

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stead-io/stead/api"
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
	stateSyncSize  = 4 << 20  // bytes that a file grows by before the disk is told: others wait for the last sync
)

// freshSuffix ends the names of files that are being written.
const freshSuffix = ".new"

const (
	writingState vfs.DiskWriteCategory = "stead-state"
	writingSpool vfs.DiskWriteCategory = "stead-spool"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// folder keeps the files beside the log.
type folder struct {
	fs     vfs.FS
	path   string
	spools atomic.Uint64 // made so far
}

func (f *folder) join(names ...string) string {
	return f.fs.PathJoin(append([]string{f.path}, names...)...)
}

// prepare makes the folders and removes what a process before left half done.
func (f *folder) prepare() error {
	err := errors.Join(f.fs.RemoveAll(f.join(spoolFolder)), f.fs.MkdirAll(f.join(spoolFolder), 0o700),
		f.fs.MkdirAll(f.join(stateFolder), 0o700))
	if err != nil {
		return err
	}
	names, err := f.fs.List(f.join(stateFolder))
	for _, name := range names {
		if strings.HasSuffix(name, freshSuffix) {
			err = errors.Join(err, f.fs.Remove(f.join(stateFolder, name)))
		}
	}
	return errors.Join(err, f.sync(f.path), f.sync(f.fs.PathDir(f.path)))
}

func (f *folder) sync(path string) error {
	opened, err := f.fs.OpenDir(path)
	if err != nil {
		return err
	}
	return errors.Join(opened.Sync(), opened.Close())
}

func (f *folder) statePath(slot api.Slot) string {
	return f.join(stateFolder, strconv.Itoa(int(slot)))
}

func (f *folder) SaveState(slot api.Slot, seq ownership.Seq, digest uint64, write func(io.Writer) error) error {
	path := f.statePath(slot)
	fresh := path + freshSuffix
	if err := f.writeState(fresh, seq, digest, write); err != nil {
		_ = f.fs.Remove(fresh) // a full disk wants no half files
		return fmt.Errorf("cannot save state %s: %w", path, err)
	}
	err := f.fs.Rename(fresh, path)
	if err == nil {
		err = f.sync(f.join(stateFolder))
	}
	if err != nil {
		return fmt.Errorf("cannot replace state %s: %w", path, err)
	}
	return nil
}

func (f *folder) writeState(path string, seq ownership.Seq, digest uint64, write func(io.Writer) error) error {
	file, err := f.fs.Create(path, writingState)
	if err != nil {
		return err
	}
	file = vfs.NewSyncingFile(file, vfs.SyncingFileOptions{BytesPerSync: stateSyncSize})
	blocks := &blockWriter{to: file}
	content := bufio.NewWriterSize(blocks, stateBlockSize)
	err = blocks.head(seq, digest)
	if err == nil {
		err = write(content)
	}
	if err == nil {
		err = content.Flush()
	}
	if err == nil {
		err = blocks.end()
	}
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

func (f *folder) State(slot api.Slot) (seq ownership.Seq, digest uint64, state io.ReadCloser, err error) {
	path := f.statePath(slot)
	file, err := f.fs.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, 0, nil, io.EOF
	}
	if err != nil {
		return 0, 0, nil, fmt.Errorf("cannot open state %s: %w", path, err)
	}
	reader := &blockReader{path: path, file: file, from: bufio.NewReaderSize(file, stateBlockSize)}
	if seq, digest, err = reader.head(); err != nil {
		return 0, 0, nil, errors.Join(err, file.Close())
	}
	return seq, digest, reader, nil
}

func (f *folder) DropState(slot api.Slot) error {
	path := f.statePath(slot)
	err := f.fs.Remove(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = f.sync(f.join(stateFolder))
	}
	if err != nil {
		return fmt.Errorf("cannot drop state %s: %w", path, err)
	}
	return nil
}

func (f *folder) Free() (left, all uint64, err error) {
	usage, err := f.fs.GetDiskUsage(f.path)
	if errors.Is(err, vfs.ErrUnsupported) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("cannot ask how full the disk of %s is: %w", f.path, err)
	}
	return usage.AvailBytes, usage.TotalBytes, nil
}

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
