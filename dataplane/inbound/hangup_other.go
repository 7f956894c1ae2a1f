//go:build !linux

package inbound

// hangups are for Linux: elsewhere a client that leaves is noticed when something is written to it.
type hangups struct{}

func newHangups() (*hangups, error) { return &hangups{}, nil }

func (h *hangups) add(*Conn)    {}
func (h *hangups) remove(*Conn) {}
func (h *hangups) run()         {}
func (h *hangups) close()       {}
