//go:build !linux && !darwin

package controlplane

import "errors"

func diskSpace(string) (free, size uint64, err error) {
	return 0, 0, errors.New("cannot measure disks on this platform")
}
