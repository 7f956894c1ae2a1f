package dataplane

import (
	"net"

	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/dataplane/proxyheader"
)

// beneath reads PROXY headers before TLS or HTTP begin, where that was asked for.
func (c TrailConfig) beneath(p *Proxy) []transport.Beneath {
	if !c.ProxyProtocol {
		return nil
	}
	config := proxyheader.Config{Timeout: p.config.HeadTimeout, Failed: p.noteUnnamed}
	return []transport.Beneath{func(socket net.Conn) net.Conn {
		if !c.TrustedProxies.Contain(addressOf(socket.RemoteAddr())) {
			return socket
		}
		return proxyheader.New(socket, config)
	}}
}

// noteUnnamed counts a connection that was closed for want of a PROXY header.
func (p *Proxy) noteUnnamed(conn *proxyheader.Conn, err error) {
	p.unnamed.Add(1)
	p.logger.Debug("trusted proxy sent no PROXY header", "peer", conn.Peer().String(), "error", err)
}
