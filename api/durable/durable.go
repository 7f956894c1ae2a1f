// Package durable is how Stead's processes keep small files: replaced whole or not at all, in folders
// that one process has to itself; and how they follow files that people replace. It owns no format.
package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// ErrLocked means that another process uses the folder.
var ErrLocked = errors.New("another process has the data folder open")

// WriteFile makes content the whole of the file at path, on disk when it returns: a crash at any moment
// leaves the old content or the new.
func WriteFile(path string, content []byte) error {
	fresh := path + ".new"
	if err := writeSynced(fresh, content); err != nil {
		_ = os.Remove(fresh) // a full disk wants no half files
		return fmt.Errorf("cannot write %s: %w", fresh, err)
	}
	err := os.Rename(fresh, path)
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("cannot replace %s: %w", path, err)
	}
	return nil
}

func writeSynced(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
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
// process's end. It does not wait: ErrLocked if another process has it. The lock's file stays behind,
// or two processes could hold two locks of one name.
func LockFolder(path string) (*Lock, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the data folder: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(path, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the data folder: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrLocked
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("cannot lock %s: %w", path, err)
	}
	return &Lock{file}, nil
}

// Unlock gives the folder up.
func (l *Lock) Unlock() error { return l.file.Close() }
