package dataplane

import (
	"errors"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/dataplane/forward"
	"github.com/stead-io/stead/dataplane/wire"
)

// Bounds on looking for the node that takes a request.
const (
	// hopsMax is how many 421 answers in a row are followed without a newer ring.
	hopsMax = 3
	// dialPatience is how long a node that the ring calls alive is dialled again, and how far apart.
	dialPatience = time.Second
	dialPauseMin = 10 * time.Millisecond
	dialPauseMax = 200 * time.Millisecond
	// movePause is how long to wait for a newer ring before the same node is asked again: it may
	// have been behind, and not the proxy.
	movePause = 250 * time.Millisecond
)

// upstream is what carries a request to a node; *forward.Transport is one.
type upstream interface {
	Send(to forward.Target, request *forward.Request) (forward.Answer, error)
}

// deliver sends the request to its node, and on to where that has moved, until an answer is
// relayed; or returns why there is none.
func (x *exchange) deliver() *api.Problem {
	if problem := x.load(); problem != nil {
		return problem
	}
	var nodes upstream = x.proxy.nodes
	search := search{exchange: x}
	for {
		x.compose()
		answer, err := nodes.Send(forward.Target{Node: x.node.ID, Address: x.node.Address}, &x.request)
		var problem *api.Problem
		switch {
		case err != nil:
			problem = search.failed(err)
		case !x.moved(answer.Head()):
			x.relay(answer)
			return nil
		default:
			problem = search.moved(answer)
		}
		if problem != nil {
			return problem
		}
		x.proxy.metrics.retries.Add(1)
	}
}

// load prepares the body; a short one is read now.
func (x *exchange) load() *api.Problem {
	x.request.Body = nil
	if source := x.conn.Body(); source != nil {
		x.body.Reset(source, x.head.Length, x.proxy.config.BodyMax)
		x.request.Body = &x.body
		if err := x.body.Load(); err != nil {
			return x.clientFailed(err)
		}
	}
	config := &x.proxy.config
	x.deadline = time.Now().Add(config.Deadline)
	x.request.HeadOnly = x.head.IsHead()
	x.request.Safe = x.head.Safe()
	x.request.ExpectContinue = x.head.Minor == 1 && x.head.Length > forward.ReplayMax
	x.request.Deadline, x.request.Wait, x.request.Patience = x.deadline, config.Deadline, config.StreamTimeout
	x.request.Client = x.conn
	return nil
}

func (x *exchange) compose() {
	x.request.Head = forward.AppendRequest(x.request.Head[:0], x.head, x.node.Address, x.stamp, x.request.ExpectContinue)
}

// moved reports the answer of a node that does not hold the slot. A 421 without an epoch is the
// service's own.
func (x *exchange) moved(head *wire.Answer) bool {
	return head.Status == 421 && x.stamp.Key != nil && steadField(&head.Head, api.HeaderEpoch) != nil
}

// search is the state of looking for the node that takes a request.
type search struct {
	*exchange
	hops      int
	dialUntil time.Time // zero before the first failed dial
	dialPause time.Duration
	dials     int
}

// failed decides whether a request that got no answer is sent again: only one that was never sent.
func (s *search) failed(err error) *api.Problem {
	var failure *forward.Failure
	if !errors.As(err, &failure) {
		return badGateway(api.CodeOwnerFailed, "node %s: %v", s.node.ID, err)
	}
	s.proxy.noteDistrust(s.node.ID, failure.Err)
	switch failure.Stage {
	case forward.NotConnected:
		return s.unreachable()
	case forward.TimedOut:
		return badGateway(api.CodeOwnerTimeout, "node %s did not answer in time", s.node.ID)
	case forward.ClientFailed:
		return s.clientFailed(failure.Err)
	default:
		s.proxy.logger.Debug("node broke off", "node", s.node.ID, "error", failure.Err)
		return badGateway(api.CodeOwnerFailed, "node %s broke off before its answer", s.node.ID)
	}
}

// unreachable waits a moment and aims again; the ring may know more by then.
func (s *search) unreachable() *api.Problem {
	now := time.Now()
	if s.dialUntil.IsZero() {
		s.dialUntil, s.dialPause = now.Add(dialPatience), dialPauseMin
	}
	s.dials++
	anywhere := s.stamp.Key == nil && s.dials < len(s.table.Up)
	if !anywhere {
		if !now.Add(s.dialPause).Before(s.dialUntil) || !s.wait(s.dialPause) {
			return s.ownerDown()
		}
		s.dialPause = min(2*s.dialPause, dialPauseMax)
	}
	return s.aim()
}

// moved follows the answer of a node that does not hold the slot: to the owner it names if it knows
// more than this proxy, else to wherever a newer ring says.
func (s *search) moved(answer forward.Answer) *api.Problem {
	s.proxy.metrics.moved.Add(1)
	owner, followed := s.follow(answer.Head())
	answer.Close()
	switch {
	case s.request.Body != nil && !s.body.Replayable():
		return s.moving("more of its body was sent than can be sent again")
	case followed:
		s.node = owner
		return nil
	}
	if !s.wait(movePause) {
		return s.moving("no newer ring came in time")
	}
	routedBy := s.table
	problem := s.aim()
	if s.table != routedBy {
		s.hops = 0
	}
	return problem
}

// follow reads the owner out of a 421, if its epoch is above the one the request was sent with; the
// stamp takes that epoch. Only nodes in this proxy's own ring are gone to.
func (s *search) follow(head *wire.Answer) (ring.Node, bool) {
	epoch, ok := parseEpoch(steadField(&head.Head, api.HeaderEpoch))
	owner := steadField(&head.Head, api.HeaderOwner)
	if !ok || epoch <= s.stamp.Epoch || len(owner) == 0 || s.hops == hopsMax {
		return ring.Node{}, false
	}
	table := s.proxy.routes.Table().View.Table
	node, listed := table.Node(table.IndexOf(api.NodeID(owner)))
	if !listed || node.Status == ring.StatusDown {
		return ring.Node{}, false
	}
	s.hops++
	s.stamp.Epoch = epoch
	return node, true
}

// wait is for a newer ring, but no longer than a pause; false when the time for the request is up.
func (s *search) wait(pause time.Duration) bool {
	left := time.Until(s.deadline)
	if left <= 0 {
		return false
	}
	timer := time.NewTimer(min(pause, left))
	defer timer.Stop()
	select {
	case <-timer.C:
		return time.Now().Before(s.deadline)
	case <-s.table.Superseded:
		return true
	case <-s.proxy.forced:
		return false
	}
}

// steadField finds the value of one of Stead's own fields, nil if there is none.
func steadField(head *wire.Head, name string) []byte {
	for i := range head.Fields {
		if field := &head.Fields[i]; field.Kind == wire.Stead && wire.EqualFold(field.Name, name) {
			return field.Value
		}
	}
	return nil
}

// parseEpoch reads a decimal epoch; it must not wrap.
func parseEpoch(text []byte) (epoch api.Epoch, ok bool) {
	if len(text) == 0 || len(text) > 18 {
		return 0, false
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		epoch = epoch*10 + api.Epoch(c-'0')
	}
	return epoch, true
}
