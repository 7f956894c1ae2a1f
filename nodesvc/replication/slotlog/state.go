package slotlog

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
)

// stateSyncSize is how many bytes a state's file grows by before the disk is told of them: syncs of the log would
// wait for all of it at once.
const stateSyncSize = 4 << 20

// freshSuffix ends the names of files that are being written.
const freshSuffix = ".new"

const (
	writingState vfs.DiskWriteCategory = "stead-state"
	writingSpool vfs.DiskWriteCategory = "stead-spool"
)

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
