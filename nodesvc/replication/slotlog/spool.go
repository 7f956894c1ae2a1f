package slotlog

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// diskSpool is a file that is never synced: after a crash it is removed.
type diskSpool struct {
	fs   vfs.FS
	path string
	file vfs.File
	size int64
}

func (f *folder) Spool() (Spool, error) {
	path := f.join(spoolFolder, strconv.FormatUint(f.spools.Add(1), 10))
	file, err := f.fs.Create(path, writingSpool)
	if err != nil {
		return nil, fmt.Errorf("cannot make spool %s: %w", path, err)
	}
	return &diskSpool{fs: f.fs, path: path, file: file}, nil
}

func (s *diskSpool) Write(p []byte) (int, error) {
	n, err := s.file.Write(p)
	s.size += int64(n)
	if err != nil {
		return n, fmt.Errorf("cannot write spool %s: %w", s.path, err)
	}
	return n, nil
}

func (s *diskSpool) Reader() (io.ReadCloser, error) {
	file, err := s.fs.Open(s.path)
	if err != nil {
		return nil, fmt.Errorf("cannot read spool %s: %w", s.path, err)
	}
	return file, nil
}

func (s *diskSpool) Size() int64 { return s.size }

func (s *diskSpool) Close() error {
	if err := errors.Join(s.file.Close(), s.fs.Remove(s.path)); err != nil {
		return fmt.Errorf("cannot remove spool %s: %w", s.path, err)
	}
	return nil
}
