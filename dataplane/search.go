package dataplane

import (
	"errors"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/dataplane/forward"
	"github.com/stead-io/stead/dataplane/shardkey"
	"github.com/stead-io/stead/dataplane/wire"
)

// Bounds on looking for the node that takes a request.
const (
	// hopsMax is how many 421 answers in a row are followed without a newer ring.
	hopsMax = 3
	// dialPatience is how long a node that the ring calls alive is dialled again, and how far apart. It is longer than
	// it takes a replica to be promoted (about 2 s), so that requests which come meanwhile find that one.
	dialPatience = 3 * time.Second
	dialPauseMin = 10 * time.Millisecond
	dialPauseMax = 200 * time.Millisecond
	// movePause is how long to wait for a newer ring before the same node is asked again: it may
	// have been behind, and not the proxy.
	movePause = 250 * time.Millisecond
)

// search is the state of looking for the node that takes a request.
type search struct {
	*exchange
	hops      int
	dialUntil time.Time // zero before the first failed dial
	dialPause time.Duration
	dials     int
	target    forward.Target // tried last
	probes    bool           // it takes no connections, and this request is the one that tries
}

// may reports whether a node is tried. Whoever has begun to try it goes on, whatever others find meanwhile.
func (s *search) may(to forward.Target) bool {
	if to == s.target {
		return true
	}
	var may bool
	may, s.probes = s.proxy.circuits.admit(to)
	if may {
		s.target = to
	}
	return may
}

// tried notes what came of it.
func (s *search) tried(to forward.Target, err error) {
	stage := forward.Stage(0)
	if err != nil {
		stage = stageOf(err)
		s.proxy.troubled(to.Node, stage, err)
	}
	if stage != forward.NotConnected {
		if s.proxy.circuits.connected(to) {
			s.proxy.logger.Info("a node takes connections again", "node", to.Node, "address", to.Address)
		}
		return
	}
	if !ofThisMachine(err) && s.proxy.circuits.failed(to, time.Now()) {
		s.proxy.logger.Warn("a node takes no connections; its requests are refused at once, but for one at a time that tries",
			"node", to.Node, "address", to.Address, "error", err)
	}
}

// troubled counts a failure against a node, if it is the node's.
func (p *Proxy) troubled(node api.NodeID, stage forward.Stage, err error) {
	if !ofThisMachine(err) {
		p.troubles.note(node, stage, time.Now())
	}
}

// stageOf is how far a request came that failed.
func stageOf(err error) forward.Stage {
	var failure *forward.Failure
	if !errors.As(err, &failure) {
		return forward.Broken
	}
	return failure.Stage
}

// refused turns a request away from a node that is given up; one without a key goes to another.
func (s *search) refused() *api.Problem {
	s.dials++
	if s.stamp.Key == nil && s.dials < len(s.table.Up) {
		return s.aim()
	}
	s.proxy.metrics.givenUp.Add(1)
	return api.NewProblem(api.CodeOwnerDown, "node %s has taken no connection for a while; it is tried again and again", s.node.ID)
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
	case forward.ClientGone:
		return s.clientGone("the client closed its side of the connection while its answer was awaited")
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
		if s.probes || !now.Add(s.dialPause).Before(s.dialUntil) || !s.wait(s.dialPause) {
			return s.ownerDown()
		}
		s.dialPause = min(2*s.dialPause, dialPauseMax)
	}
	return s.aim()
}

// aim finds the node by a newer ring. Its rules may ask for a body that is gone.
func (s *search) aim() *api.Problem {
	problem := s.exchange.aim()
	if problem == shardkey.ErrNeedsBody {
		return s.moving("the key rules changed while its body was on its way")
	}
	return problem
}

// moved follows the answer of a node that does not hold the slot: to the owner it names if it knows
// more than this proxy, else to wherever a newer ring says.
func (s *search) moved(answer forward.Answer) *api.Problem {
	s.proxy.metrics.moved.Add(1)
	s.at.moved.Add(1)
	s.record.moved++
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
