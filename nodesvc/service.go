package nodesvc

import "github.com/stead-io/stead/nodesvc/replication"

// What a service is to a node. The names are aliases: a service imports this package alone.
type (
	// Service is what holds the state of slots: it carries records out, and writes, replaces and drops the
	// state of a slot. Records come committed, in order, on every replica, so what Apply does must depend on
	// nothing but the slot's state and the record: not on the clock, randomness, or the order of a map.
	Service = replication.Service
	// Durable is a Service that keeps its state on disk by itself, with the number of the last record applied.
	// Of any other the node keeps snapshots, and applies at a start what came after the last.
	Durable = replication.Durable
	// Viewer is a Service that can hold on to a slot's state of one moment while it goes on changing, so that
	// a large slot takes writes while it is copied.
	Viewer = replication.Viewer
	// Checker is a Service that can tell the state of a slot from other octets, so that what an operator puts
	// back by mistake replaces nothing.
	Checker = replication.Checker
	// Rehearser is a Service behind hooks that can say beforehand why a slot should not be moved.
	Rehearser = replication.Rehearser
	// View is the state of a slot at one moment.
	View = replication.View
)

// ErrBroken in an error of a Service says that its state can no longer be trusted: the node ends, and starts
// again from what is on disk.
var ErrBroken = replication.ErrBroken
