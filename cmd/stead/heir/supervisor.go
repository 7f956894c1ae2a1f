package heir

import (
	"fmt"
	"net"
	"os"
)

// Announce tells systemd, if it asked to be told, that this process serves, and that it is the one to watch
// from now on (sd_notify(3): a unit of Type=notify with NotifyAccess=all). Without systemd it does nothing.
func Announce() error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	conn, err := net.Dial("unixgram", path) // @ for the abstract namespace is what both call it
	if err != nil {
		return fmt.Errorf("cannot tell systemd: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintf(conn, "READY=1\nMAINPID=%d", os.Getpid()); err != nil {
		return fmt.Errorf("cannot tell systemd: %w", err)
	}
	return nil
}
