// Package durable is how Stead's processes keep small files: replaced whole or not at all, in folders
// that one process has to itself. It owns no format.
package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// ErrLocked means that another process uses the folder.
var ErrLocked = errors.New("another process uses this data folder")

// WriteFile replaces a file such that a crash at any moment leaves the old content or the new one.
func WriteFile(path string, content []byte) error {
	temporary := path + ".new"
	file, err := os.OpenFile(temporary, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// Lock is a folder held by this process.
type Lock struct{ file *os.File }

// LockFolder makes the folder if need be and takes it for this process, until Unlock or the
// process's end. It does not wait.
func LockFolder(path string) (*Lock, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the data folder: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(path, "LOCK"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the data folder: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("cannot lock %s: %w", path, ErrLocked)
	}
	return &Lock{file}, nil
}

// Unlock gives the folder up.
func (l *Lock) Unlock() error { return l.file.Close() }
