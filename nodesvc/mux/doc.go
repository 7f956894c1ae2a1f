// Package mux is a node's end of stead-mux/1: it takes a proxy's connection over and serves the requests that
// come on its streams to an http.Handler, which need not know.
//
// It owns connections that were upgraded, the handlers that run on their streams, and their orderly end. The
// wire is api/frames'; who may do what is the handler's affair, which sees the certificate that the connection
// was made with. Its invariants: no more handlers run than a connection may have streams, whatever is reset; a
// handler that panics ends its stream alone; of a request that was refused no handler saw anything.
package mux
