//go:build e2e

package e2e

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/cmd/stead/pki"
	"github.com/stead-io/stead/tests/cluster"
)

// forger is Raft's own transport, over connections of an outsider who knows the protocol.
type forger struct {
	net.Listener // never accepts
	dial         func(address string) (net.Conn, error)
	greeting     string
}

func (f forger) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	conn, err := f.dial(string(address))
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(timeout))
	_, err = io.WriteString(conn, "stead-raft/1 "+f.greeting+"\n")
	return conn, err
}

// forge sends a member an AppendEntries of a made-up leader, with a term far ahead, and returns the
// answer.
func forge(t *testing.T, victim api.Member, term uint64, dial func(string) (net.Conn, error)) (raft.AppendEntriesResponse, error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	outsider := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: forger{listener, dial, string(victim.ID)}, MaxPool: 1, Timeout: 3 * time.Second, MsgpackUseNewTimeFormat: true,
	})
	defer outsider.Close()
	forged := raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("c9-0123456789abcdef"), Addr: []byte("c9-0123456789abcdef")},
		Term:      term,
		Entries:   []*raft.Log{{Index: 1, Term: term, Type: raft.LogCommand, Data: []byte("forged")}},
	}
	var answer raft.AppendEntriesResponse
	err = outsider.AppendEntries(raft.ServerID(victim.ID), raft.ServerAddress(victim.Raft), &forged, &answer)
	return answer, err
}

// TestForgedAppendEntries: the one message that takes a Raft cluster over is refused from everybody but
// its members; that it would work is shown last, with a stolen certificate.
func TestForgedAppendEntries(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Members: 3, Nodes: 1, TLS: true, ControlArgs: soon})
	is, err := c.Client.Cluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before, term := standingOf(t, c), is.Term+forgedLead
	foreign := t.TempDir()
	if err := pki.Init(foreign, "test", 2, time.Now()); err != nil {
		t.Fatal(err)
	}
	wrong, err := pki.Issue(foreign, foreign, pki.Request{Role: transport.RoleMember, Name: "c1", Days: 1}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	believing := func(certificates ...tls.Certificate) func(string) (net.Conn, error) {
		return func(address string) (net.Conn, error) {
			return tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, Certificates: certificates})
		}
	}
	for _, victim := range is.Members {
		f := func(who string, dial func(string) (net.Conn, error)) {
			t.Helper()
			if answer, err := forge(t, victim, term, dial); err == nil {
				t.Errorf("%s was answered by %s: %+v", who, victim.Name, answer)
			}
		}
		f("plain TCP", func(address string) (net.Conn, error) { return net.Dial("tcp", address) })
		f("no certificate", believing())
		f("another CA's member", believing(pair(t, transport.Files(wrong))))
		f("a node", believing(pair(t, c.Files(transport.RoleNode, "n1"))))
		f("an operator", believing(pair(t, c.Files(transport.RoleOperator, "ann"))))
	}
	before.unmoved(t, c)

	answer, err := forge(t, is.Members[0], term, believing(pair(t, c.Files(transport.RoleMember, "c1"))))
	if err != nil || answer.Term < term {
		t.Errorf("with a member's certificate the forgery is none, so the test proves nothing: %+v, %v", answer, err)
	}
}
