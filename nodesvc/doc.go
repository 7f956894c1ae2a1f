// Package nodesvc is what a stateful service is built on: it makes a process a node of the ring, and keeps the
// service's state on as many nodes as the cluster asks for.
//
// A service brings three things: what a record does to a slot's state (Service), what record a request makes
// (Node.Update), and what a request reads (Node.Read). The node brings the rest: identity (store id and boot
// counter, kept with the data), membership (register, beat, leave), the ring as it sees it, the guard that
// stands before the handlers, the log of records, replicas, and moves. It does not own the service's state in
// memory or on disk, its listener or its handlers; the reference KV and the sidecar are built on it like any
// other service. A service without a Service keeps state of its own, or none, and only the guard is for it.
//
// Its invariants:
//
//   - A request reaches the service only while this node serves the slot that the request's key hashes to.
//   - What Update returned without error every replica in sync has on its disk, and no replica ever loses.
//   - What Read let pass was current at some moment since the request came.
//   - 421 with an epoch means that nothing of the request was appended to any log.
//   - A node registers only with the cluster that its data folder belongs to, and beats only while the service
//     says it is well and its disk takes writes.
//
// How it goes together:
//
//	listener, err := config.Security.Listen(address) // proxies come in TLS, where there is
//	config.Service = service
//	node, err := nodesvc.Open(config)
//	server := nodesvc.NewServer(node.Guard(handler), logger)
//	…
//	err = node.Leave(ctx) // hands the slots over, then says that it leaves
//	err = server.Shutdown(ctx)
//	err = node.Close(ctx) // stops the slots; the service is told nothing more
//
// Errors of Update and Read are *api.Problem, and WriteError makes answers of them. Of a retryable one nothing
// was appended; outcome_unknown says that the record may yet be applied, so nothing repeats it unasked.
//
// A data folder holds store.json (who the store is), ring (the last ring), slots (the configurations acted
// on), log/ (records), lock and canary; other names are the service's.
package nodesvc
