package routing

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/stead-io/stead/api/durable"
	"github.com/stead-io/stead/api/ring"
)

// fileSizeMax bounds what is read of the file: 65,535 nodes and 2^16 slots fit.
const fileSizeMax = 64 << 20

// savedRing is the last ring on disk: one file, the frame of ring.View, replaced as a whole.
type savedRing struct{ folder string }

func (s *savedRing) path() string { return filepath.Join(s.folder, "ring") }

// load reads the ring; nil if there is none.
func (s *savedRing) load() (*ring.View, error) {
	file, err := os.Open(s.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	raw, err := io.ReadAll(io.LimitReader(file, fileSizeMax))
	if err != nil {
		return nil, err
	}
	return ring.DecodeView(raw)
}

// store replaces the ring. A crash leaves the old one or the new one.
func (s *savedRing) store(view *ring.View) error {
	if err := os.MkdirAll(s.folder, 0o700); err != nil {
		return err
	}
	return durable.WriteFile(s.path(), view.Encode())
}
