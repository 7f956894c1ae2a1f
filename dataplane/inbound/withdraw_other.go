//go:build !linux

package inbound

import (
	"errors"
	"net"
)

func refuseHandshakes(*net.TCPListener) error { return errors.ErrUnsupported }

func queued(*net.TCPListener) (waiting int, err error) { return 0, errors.ErrUnsupported }
