package controlplane

import (
	"context"
	"net"
	"net/http"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/controlplane/httpapi"
	"github.com/stead-io/stead/controlplane/peers"
)

// listen opens the API, to whoever can say who it is, and Raft, to members alone.
func (m *Member) listen() (err error) {
	m.apiListener, err = m.config.Security.ListenFor(m.config.Listen, transport.Callers{Optional: m.config.Tokens != nil})
	if err != nil {
		return err
	}
	m.raftListener, err = m.config.Security.ListenFor(m.config.RaftListen, transport.Callers{Role: transport.RoleMember})
	return err
}

// dialMember connects to a member's Raft, and to no other's.
func (m *Member) dialMember(ctx context.Context, id api.MemberID, address string) (net.Conn, error) {
	return m.config.Security.Dial(ctx, address, transport.Identity{Role: transport.RoleMember, Name: peers.NameOf(id)})
}

// memberTransport reaches other members' API. Addresses to join have no names yet: any member will do.
func (m *Member) memberTransport() *http.Transport {
	via := m.config.Security.Transport(transport.Identity{Role: transport.RoleMember})
	via.MaxIdleConnsPerHost = idleConnections
	return via
}

// apiConfig says how the API knows who is asking.
func (m *Member) apiConfig() httpapi.Config {
	config := httpapi.Config{Control: m, HTTP: m.http, Collectors: m.collectors(), Logger: m.logger, Tokens: m.config.Tokens}
	if certificate := m.config.Security.TLS; certificate != nil {
		config.Identified, config.CertificateExpires = true, certificate.Expires
	}
	return config
}
