package nodesvc

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/stead-io/stead/api/transport"
)

// Limits of a node's HTTP server. Bodies have no deadline here: what is slow and what is a stream
// only the service can tell.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute // proxies close idle connections sooner
	headerSizeMax = 64 << 10        // bytes
)

// NewServer returns an HTTP server with a node's limits on headers and idle connections.
func NewServer(handler http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerSizeMax,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}

// CheckListen reports whether a node can listen on an address: it is host:port, and if the node is to
// advertise it for want of another, one that proxies can dial.
func CheckListen(listen, advertise string) error {
	if _, _, err := net.SplitHostPort(listen); err != nil {
		return fmt.Errorf("listen address %q is not host:port", listen)
	}
	_, err := transport.Advertised(listen, advertise)
	return err
}
