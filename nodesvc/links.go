package nodesvc

import (
	"context"
	"net"
	"net/http"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/nodesvc/replication/peer"
)

// listener passes on to the engine what is heard from other nodes. The engine is set before the first
// connection: engine and links need each other.
type listener struct{ peer.Handler }

// openLinks opens the node's end of the connections with the other nodes.
func (n *Node) openLinks(at home, state api.State, hears *listener) *peer.Links {
	return peer.Open(peer.Config{
		Self: peer.Hello{
			Cluster: at.Cluster, Node: n.config.ID, Store: n.registration.StoreID, Nonce: n.registration.Nonce,
			SlotBits: at.SlotBits, State: state,
		},
		Handler: hears,
		Dial:    peer.DialHTTP(n.dialPeer),
		Logger:  n.logger,
	})
}

// dialPeer connects to another node, which proves to be that node where there is TLS.
func (n *Node) dialPeer(ctx context.Context, node api.NodeID, address string) (net.Conn, error) {
	return n.config.Security.Dial(ctx, address, transport.Identity{Role: transport.RoleNode, Name: string(node)})
}

// acceptPeer hands the connection of another node over to the links.
func (n *Node) acceptPeer(w http.ResponseWriter, r *http.Request) {
	opened := n.keeper.Load()
	if opened == nil || opened.links == nil {
		n.unopened().WriteTo(w)
		return
	}
	caller, problem := peerOf(r)
	if problem != nil {
		n.refuse(w, problem)
		return
	}
	conn, err := peer.Upgrade(w, r)
	if err != nil {
		n.logger.Debug("connection of another node was not taken", "from", r.RemoteAddr, "error", err)
		return
	}
	opened.links.Accept(conn, caller)
}

// peerOf is the node that a request's certificate names, "" without TLS.
func peerOf(r *http.Request) (api.NodeID, *api.Problem) {
	if r.TLS == nil {
		return "", nil
	}
	caller, known := transport.CallerOf(r.TLS)
	if !known || caller.Role != transport.RoleNode {
		return "", api.NewProblem(api.CodeForbidden, "only nodes connect here, not %q", caller)
	}
	return api.NodeID(caller.Name), nil
}
