// Package peer connects the nodes of a cluster with each other: one connection a pair, framed, checksummed and
// back-pressured, over which replication runs.
//
// It owns connections, framing, heartbeats and the order of sending; not what frames mean. Its invariants:
// frames of one lane arrive in the order they were sent, whole and unaltered, or the connection ends; a frame
// is delivered only between nodes of one cluster, each of which has proved its id where there is TLS; bulk
// never holds up urgent frames by more than one frame of it.
package peer

import (
	"context"
	"errors"
	"net"

	"github.com/stead-io/stead/api"
)

// Limits of frames, in bytes.
const (
	FrameMax = 17 << 20 // the largest record, and what is around it
	BulkMax  = 64 << 10 // of the body of a bulk frame
)

// Path is where a node takes connections of other nodes: a GET with Upgrade: stead-replication/1.
const (
	Path     = "/.stead/peer"
	Protocol = "stead-replication/1"
)

// ErrNoLink says that the other node is not connected now, or its queue is full.
var ErrNoLink = errors.New("the other node is not connected")

// Hello is how both sides of a connection introduce themselves.
type Hello struct {
	Cluster  api.ClusterID `json:"cluster"`
	Node     api.NodeID    `json:"node"`
	Store    api.StoreID   `json:"store"`
	Nonce    string        `json:"nonce"` // of the process
	SlotBits int           `json:"slot_bits"`
	State    api.State     `json:"state"`
}

// Handler hears what happens on connections. Calls of one connection do not overlap, those of several do; they
// must not block for long. A replaced connection is lost before the next is linked.
type Handler interface {
	Linked(from Hello)
	Lost(from Hello)
	// Receive takes a frame; body is the handler's to keep.
	Receive(from Hello, kind uint8, body []byte)
}

// Network is what replication needs of connections.
type Network interface {
	// Send queues an urgent frame of at most FrameMax; it does not block. body must not be changed any more, but
	// may go to several nodes. ErrNoLink if it cannot be queued: the receiver will see Lost and Linked before
	// anything that is sent later.
	Send(to api.NodeID, kind uint8, body []byte) error
	// SendBulk sends a frame of at most BulkMax behind the urgent ones, as fast as the receiver allows, and
	// returns when it is written; body is the caller's again then.
	SendBulk(ctx context.Context, to api.NodeID, kind uint8, body []byte) error
	// Peer is the node's greeting on the present connection.
	Peer(node api.NodeID) (Hello, bool)
	// Follow says which nodes there are; connections to others end.
	Follow(nodes []api.SlotNode)
}

// Dial opens a connection to a node's address, TLS and the upgrade included.
type Dial func(ctx context.Context, node api.NodeID, address string) (net.Conn, error)
