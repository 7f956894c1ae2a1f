package peer

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/stead-io/stead/api"
)

const refusalMax = 300 // octets of the other side's reason that are logged

// errRefused says that one side did not take the other's greeting.
var errRefused = errors.New("the greeting is refused")

// greeting is what both sides send first. To says whom the side that dialled believes to reach: an address may
// have gone to another node.
type greeting struct {
	Hello
	To api.NodeID `json:"to,omitempty"`
}

// greeter greets on connections.
type greeter struct {
	self    Hello
	timeout time.Duration // for the whole greeting
	silence time.Duration // afterwards
}

// call greets the node that was dialled.
func (g greeter) call(conn net.Conn, node api.NodeID) (*link, error) {
	in, reader, err := g.begin(conn)
	if err != nil {
		return nil, err
	}
	if err := sendGreeting(conn, greeting{Hello: g.self, To: node}); err != nil {
		return nil, err
	}
	answer, err := readGreeting(reader)
	if err != nil {
		return nil, err
	}
	if err := g.check(answer.Hello, node); err != nil {
		return nil, err
	}
	return newLink(conn, in, reader, answer.Hello), g.end(conn)
}

// answer greets a node that dialled: caller by its certificate, "" if it has none. admit has the last word.
func (g greeter) answer(conn net.Conn, caller api.NodeID, admit func(Hello) error) (*link, error) {
	in, reader, err := g.begin(conn)
	if err != nil {
		return nil, err
	}
	asked, err := readGreeting(reader)
	if err != nil {
		return nil, err
	}
	err = g.checkCall(asked, caller)
	if err == nil {
		err = admit(asked.Hello)
	}
	if err != nil {
		return nil, errors.Join(err, send(conn, kindRefusal, []byte(err.Error())))
	}
	if err := sendGreeting(conn, greeting{Hello: g.self}); err != nil {
		return nil, err
	}
	return newLink(conn, in, reader, asked.Hello), g.end(conn)
}

// begin gives the greeting its deadline; end takes it away.
func (g greeter) begin(conn net.Conn) (*incoming, *bufio.Reader, error) {
	in := &incoming{conn: conn, silence: g.silence}
	return in, bufio.NewReaderSize(in, readBuffer), conn.SetDeadline(time.Now().Add(g.timeout))
}

func (g greeter) end(conn net.Conn) error { return conn.SetDeadline(time.Time{}) }

// checkCall also makes sure of who calls, and that it meant this node.
func (g greeter) checkCall(asked greeting, caller api.NodeID) error {
	switch {
	case caller != "" && caller != asked.Node:
		return fmt.Errorf("%w: node %q calls itself %q", errRefused, caller, api.Clip(string(asked.Node)))
	case asked.To != g.self.Node:
		return fmt.Errorf("%w: this is node %q, not %q", errRefused, g.self.Node, api.Clip(string(asked.To)))
	case asked.Node > g.self.Node:
		return fmt.Errorf("%w: the node with the lower id dials", errRefused)
	}
	return g.check(asked.Hello, asked.Node)
}

func (g greeter) check(other Hello, expected api.NodeID) error {
	refuse := func(what string, theirs, ours any) error {
		return fmt.Errorf("%w: its %s is %v, ours %v", errRefused, what, theirs, ours)
	}
	switch {
	case other.Node.Validate() != nil:
		return fmt.Errorf("%w: %w", errRefused, other.Node.Validate())
	case other.Node == g.self.Node:
		return fmt.Errorf("%w: it is this node itself", errRefused)
	case other.Node != expected:
		return fmt.Errorf("%w: it is node %q, not %q", errRefused, other.Node, expected)
	case other.Cluster != g.self.Cluster:
		return refuse("cluster", api.Clip(string(other.Cluster)), g.self.Cluster)
	case other.SlotBits != g.self.SlotBits:
		return refuse("slot_bits", other.SlotBits, g.self.SlotBits)
	case other.State != g.self.State:
		return refuse("state", api.Clip(string(other.State)), g.self.State)
	}
	return nil
}

func sendGreeting(conn net.Conn, g greeting) error {
	body, err := json.Marshal(g)
	if err != nil {
		return err
	}
	return send(conn, kindGreeting, body)
}

// send writes a frame of this package's own in one piece.
func send(conn net.Conn, kind uint8, body []byte) error {
	f := frame{kind: kind, lane: laneOwn, body: body}
	_, err := conn.Write(append(f.appendHead(nil), body...))
	return err
}

// readGreeting reads a greeting; a refusal is an error with what it says.
func readGreeting(r *bufio.Reader) (greeting, error) {
	var g greeting
	f, err := readFrame(r, greetingLimit)
	switch {
	case err != nil:
		return g, err
	case f.kind == kindRefusal:
		return g, fmt.Errorf("%w by the other side: %s", errRefused, clip(f.body))
	case f.kind != kindGreeting:
		return g, fmt.Errorf("%w: kind %d in place of a greeting", errBadFrame, f.kind)
	}
	if err := json.Unmarshal(f.body, &g); err != nil {
		return g, fmt.Errorf("cannot read the greeting: %w", err)
	}
	return g, nil
}

// clip makes what the other side says fit for a log.
func clip(text []byte) string { return fmt.Sprintf("%.*q", refusalMax, text) }
