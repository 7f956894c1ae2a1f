package transport

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/stead-io/stead/api/durable"
)

// Protocols, where a handshake agrees on one (ALPN).
const (
	ProtocolH2    = "h2"
	ProtocolHTTP1 = "http/1.1"
)

// Certificate is what a server shows to clients from outside the cluster, who show none: its CA is one that they
// believe, and the cluster's has nothing to do with it. Its files may be replaced at any time: connections made
// from then on see the new one, those that stand go on.
type Certificate struct {
	loaded atomic.Pointer[durable.Reloaded[tls.Certificate]]
}

// LoadCertificate reads a certificate, the chain behind it, and its key. The logger hears when the files were
// replaced, and when that was in vain.
func LoadCertificate(cert, key string, logger *slog.Logger) (*Certificate, error) {
	read := func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("cannot load the certificate %s: %w", cert, err)
		}
		return &pair, nil
	}
	loaded, err := durable.Reload([]string{cert, key}, read, func(err error) {
		if err != nil {
			logger.Warn("the replaced certificate for clients is not used", "error", err)
			return
		}
		logger.Info("the certificate for clients was replaced")
	})
	if err != nil {
		return nil, err
	}
	c := &Certificate{}
	c.loaded.Store(loaded)
	return c, nil
}

// Become goes on as another does, with its files.
func (c *Certificate) Become(other *Certificate) { c.loaded.Store(other.loaded.Load()) }

// Expires is when the certificate ends to be valid.
func (c *Certificate) Expires() time.Time { return c.loaded.Load().Get().Leaf.NotAfter }

// listen has clients of a listener see the certificate, in TLS 1.2 or later, and agree on HTTP/2 or HTTP/1.1.
func (c *Certificate) listen(on net.Listener) net.Listener {
	return tls.NewListener(on, &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{ProtocolH2, ProtocolHTTP1},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.loaded.Load().Get(), nil
		},
	})
}
