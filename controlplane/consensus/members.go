package consensus

import (
	"errors"
	"strings"

	"github.com/hashicorp/raft"

	"github.com/stead-io/stead/api"
)

// ErrMoved: the configuration is no longer the one that the change was made from; nothing changed.
var ErrMoved = errors.New("the members have changed meanwhile")

// Server is a member as Raft's configuration lists it.
type Server struct {
	ID    api.MemberID
	Voter bool
}

// Configuration is who takes part, as the log says at an index.
type Configuration struct {
	Index   uint64
	Servers []Server
}

// Lists reports whether a member is in the configuration.
func (c Configuration) Lists(id api.MemberID) bool {
	for _, server := range c.Servers {
		if server.ID == id {
			return true
		}
	}
	return false
}

// Committed is the latest configuration that this member knows to be committed; its index is 0 while
// it knows none.
func (r *Replica) Committed() Configuration {
	if known := r.configuration.Load(); known != nil {
		return *known
	}
	return Configuration{}
}

// noteConfiguration keeps the latest committed configuration. Raft calls it from one goroutine when
// entries are applied and from others when it opens snapshots.
func (r *Replica) noteConfiguration(index uint64, configuration raft.Configuration) {
	noted := &Configuration{Index: index, Servers: serversOf(configuration)}
	for {
		known := r.configuration.Load()
		if known != nil && known.Index >= index || r.configuration.CompareAndSwap(known, noted) {
			return
		}
	}
}

// Servers lists the members of the latest configuration, committed or not.
func (r *Replica) Servers() ([]Server, error) {
	future := r.raft.GetConfiguration()
	if err := future.Error(); err != nil {
		return nil, translate(err)
	}
	return serversOf(future.Configuration()), nil
}

func serversOf(configuration raft.Configuration) []Server {
	var servers []Server
	for _, server := range configuration.Servers {
		servers = append(servers, Server{ID: api.MemberID(server.ID), Voter: server.Suffrage == raft.Voter})
	}
	return servers
}

// AddNonvoter lists a member that receives the log and does not vote. The three changes below answer
// once they are committed; each is made from the committed configuration at an index, and refused with
// ErrMoved if there is a later one.
func (r *Replica) AddNonvoter(id api.MemberID, from uint64) error {
	return r.changed(from, r.raft.AddNonvoter(raft.ServerID(id), raft.ServerAddress(id), from, enqueueTimeout))
}

// AddVoter gives a listed member a vote. AddVoter of one that is not listed yet would count it before
// it has the log: AddNonvoter comes first.
func (r *Replica) AddVoter(id api.MemberID, from uint64) error {
	return r.changed(from, r.raft.AddVoter(raft.ServerID(id), raft.ServerAddress(id), from, enqueueTimeout))
}

// RemoveServer takes a member off the list. The leader is not to remove itself: it would serve on
// without being counted.
func (r *Replica) RemoveServer(id api.MemberID, from uint64) error {
	return r.changed(from, r.raft.RemoveServer(raft.ServerID(id), from, enqueueTimeout))
}

func (r *Replica) changed(from uint64, future raft.IndexFuture) error {
	err := translate(future.Error())
	if err != nil && strings.Contains(err.Error(), "configuration changed since") { // Raft has no sentinel for it
		return ErrMoved
	}
	return err
}

// HasLog reports whether the log holds anything.
func (r *Replica) HasLog() bool { return r.raft.LastIndex() > 0 }
