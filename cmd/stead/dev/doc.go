// Package dev runs a whole cluster on this machine for trying things out: control-plane members,
// proxies and key-value nodes, each a real process of the stead binary that can be killed like one.
//
// It owns the processes: their ports, command lines, output and end. What they do is theirs; it
// knows it only through their public ports. Its invariants: no process outlives the cluster, one
// that dies stays dead, and the data folder alone is enough to start the same cluster again,
// whatever the ports.
package dev
