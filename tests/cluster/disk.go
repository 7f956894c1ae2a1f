package cluster

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// SmallDisk puts a disk of its own, of so many bytes, at a folder, until the test ends. It needs the
// right to mount and skips the test without it.
func SmallDisk(t testing.TB, folder string, size string) {
	t.Helper()
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("cannot mount a small disk here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, 0); err != nil {
			t.Errorf("cannot unmount %s: %v", folder, err)
		}
	})
}

// fillName is what stands in a disk's way.
const fillName = "fill"

// FillDisk leaves no room on the disk at a folder.
func FillDisk(t testing.TB, folder string) {
	t.Helper()
	file, err := os.Create(filepath.Join(folder, fillName))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	page := make([]byte, 4096)
	for err == nil {
		_, err = file.Write(page)
	}
}

// FreeDisk takes back what FillDisk wrote.
func FreeDisk(t testing.TB, folder string) {
	t.Helper()
	if err := os.Remove(filepath.Join(folder, fillName)); err != nil {
		t.Fatal(err)
	}
}
