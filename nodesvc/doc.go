// Package nodesvc is what a stateful service is built on: it makes a process a node of the ring.
//
// It owns the node's identity (store id and boot counter, kept with the data), its membership
// (register, beat, leave), the ring as the node sees it, and the guard that stands before the
// service's handlers. It does not own the service's state, its listener or its storage engine; the
// reference KV and the sidecar are built on it like any other service.
//
// Its invariants: a request reaches the service only while this node is, in its own newest view,
// primary of the slot the request's key hashes to; a node registers only with the cluster that its
// data folder belongs to; and it beats only while the service says it is well.
//
//	listener, err := config.Security.Listen(address) // proxies come in TLS, where there is
//	node, err := nodesvc.Open(config)
//	server := nodesvc.NewServer(node.Guard(handler), logger)
//	…
//	err = node.Close(ctx) // leaves the ring, then stops
package nodesvc
