//go:build linux || darwin

package controlplane

import (
	"fmt"
	"syscall"
)

// diskSpace is what the file system of a folder has, in bytes: free to this process, and in all.
func diskSpace(folder string) (free, size uint64, err error) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(folder, &stat); err != nil {
		return 0, 0, fmt.Errorf("cannot measure the disk of %s: %w", folder, err)
	}
	block := uint64(stat.Bsize)
	return uint64(stat.Bavail) * block, uint64(stat.Blocks) * block, nil
}
