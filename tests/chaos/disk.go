//go:build chaos

package chaos

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// The small disk: an image that outlives the run's mounts, with what a node keeps in reserve and little more.
const (
	diskSize  = 1536 << 20 // bytes
	lowLeaves = 256 << 20  // bytes that a low disk has left: less than any node's reserve, 1 GiB
	fullTries = 64         // of filling: what else writes frees and takes pieces meanwhile
)

// SmallDisk is a disk of its own at a folder, and what stands in its way.
type SmallDisk struct{ folder string }

// fillName is the file that takes the room.
const fillName = "fill"

// MountSmallDisk mounts the image at the folder, and makes it first if there is none.
func MountSmallDisk(image, folder string) (*SmallDisk, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make small disk: %w", err)
	}
	if _, err := os.Stat(image); errors.Is(err, fs.ErrNotExist) {
		if err := makeImage(image); err != nil {
			return nil, err
		}
	}
	if output, err := exec.Command("mount", "-o", "loop", image, folder).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("cannot mount small disk: %w: %s", err, output)
	}
	d := &SmallDisk{folder: folder}
	return d, d.Free() // of what a run that was broken off left
}

func makeImage(image string) error {
	file, err := os.Create(image + ".new")
	if err != nil {
		return fmt.Errorf("cannot make small disk: %w", err)
	}
	if err := errors.Join(file.Truncate(diskSize), file.Close()); err != nil {
		return fmt.Errorf("cannot make small disk: %w", err)
	}
	if output, err := exec.Command("mkfs.ext4", "-q", "-m", "0", image+".new").CombinedOutput(); err != nil {
		return fmt.Errorf("cannot make small disk: %w: %s", err, output)
	}
	return os.Rename(image+".new", image)
}

// Fill leaves so many bytes of the disk.
func (d *SmallDisk) Fill(leaves uint64) error {
	file, err := os.OpenFile(filepath.Join(d.folder, fillName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("cannot fill disk: %w", err)
	}
	defer file.Close()
	var end int64
	for range fullTries {
		free, err := d.left()
		if err != nil || free <= leaves {
			return err
		}
		piece := int64(max(4096, (free-leaves)/2))
		switch err := syscall.Fallocate(int(file.Fd()), 0, end, piece); {
		case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EINTR):
		case err != nil:
			return fmt.Errorf("cannot fill disk: %w", err)
		default:
			end += piece
		}
	}
	return nil
}

func (d *SmallDisk) left() (uint64, error) {
	var facts syscall.Statfs_t
	if err := syscall.Statfs(d.folder, &facts); err != nil {
		return 0, fmt.Errorf("cannot ask for room on disk: %w", err)
	}
	return facts.Bavail * uint64(facts.Bsize), nil
}

// Free takes back what Fill took.
func (d *SmallDisk) Free() error {
	if err := os.Remove(filepath.Join(d.folder, fillName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot free disk: %w", err)
	}
	return nil
}

// Unmount gives the disk back.
func (d *SmallDisk) Unmount() error { return syscall.Unmount(d.folder, 0) }
