package simulation

import (
	"fmt"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/fsm"
)

// trouble is a kind of fault. Its weight says how often it comes.
type trouble struct {
	name   string
	weight int
	make   func(*stage)
}

var troubles = []trouble{
	{"crash", 6, (*stage).crashOne},
	{"crash two", 2, (*stage).crashTwo},
	{"leave", 3, (*stage).leaveOne},
	{"reset", 4, (*stage).resetSome},
	{"cut", 4, (*stage).cutPair},
	{"cut one way", 4, (*stage).cutOneWay},
	{"cut from the control plane", 3, (*stage).cutFromCouncil},
	{"stand still", 3, (*stage).standStill},
	{"leader stands still", 3, (*stage).leaderStandsStill},
	{"other leader", 3, func(s *stage) { s.council.abdicate() }},
	{"drain", 6, (*stage).drainOne},
	{"reweigh", 4, (*stage).reweigh},
	{"disk nearly full", 2, (*stage).crowdDisk},
	{"disk full", 2, (*stage).breakDisk},
	{"restore", 1, (*stage).restore},
}

// trouble makes faults for as long as the scene says. Which, of whom and for how long is drawn from the seed;
// when each is over depends on the cluster, where it has to be whole first.
func (s *stage) trouble() {
	sum := 0
	for _, kind := range troubles {
		sum += kind.weight
	}
	for end := time.Now().Add(s.scene.Length); time.Now().Before(end) && s.judge.sound(); {
		place := s.random.IntN(sum)
		for _, kind := range troubles {
			if place -= kind.weight; place < 0 {
				s.judge.transcript.add("trouble", fmt.Sprintf("%v %s", time.Until(end), kind.name))
				kind.make(s)
				break
			}
		}
		s.wait(300 * time.Millisecond)
	}
}

// wait lets some time go by, at most so much.
func (s *stage) wait(atMost time.Duration) {
	time.Sleep(time.Duration(s.random.Int64N(int64(atMost))))
}

func (s *stage) one() *node { return s.nodes[s.random.IntN(len(s.nodes))] }

func (s *stage) two() (a, b *node) {
	chosen := s.random.Perm(len(s.nodes))
	return s.nodes[chosen[0]], s.nodes[chosen[1]]
}

// spared reports whether no copy may be taken away now: what is in memory has to be in sync elsewhere, as an
// operator would see to. What is on disk is never lost.
func (s *stage) spared() bool {
	return s.scene.Memory && (s.scene.Replicas == 1 || !until(30*time.Second, s.whole))
}

func (s *stage) crashOne() { s.crashOneAfter(s.one()) }

func (s *stage) crashOneAfter(n *node) {
	if s.spared() {
		return
	}
	s.crash(n)
	s.wait(4 * time.Second)
	s.restart(n)
}

func (s *stage) crash(n *node) {
	n.crash(s.random)
	s.judge.count(func(c *counts) { c.Crashes++ })
}

func (s *stage) restart(n *node) {
	n.broken.Store(false)
	if err := n.start(s.random); err != nil {
		s.judge.fault("%s does not start again: %v", n.id, err)
	}
}

func (s *stage) crashTwo() {
	a, b := s.two()
	if s.scene.Memory {
		s.crashOneAfter(a)
		return
	}
	s.crash(a)
	s.wait(300 * time.Millisecond)
	s.crash(b)
	s.wait(3 * time.Second)
	s.restart(a)
	s.wait(time.Second)
	s.restart(b)
}

func (s *stage) leaveOne() {
	n := s.one()
	if s.spared() {
		return
	}
	n.leave()
	s.judge.count(func(c *counts) { c.Restarts++ })
	s.wait(time.Second)
	s.restart(n)
}

func (s *stage) resetSome() {
	for range 1 + s.random.IntN(5) {
		a, b := s.two()
		s.network.cut(host(a.id), host(b.id))
		s.wait(20 * time.Millisecond)
	}
}

func (s *stage) cutPair() {
	a, b := s.two()
	s.ways(true, [2]host{host(a.id), host(b.id)}, [2]host{host(b.id), host(a.id)})
	s.wait(4 * time.Second)
	s.ways(false, [2]host{host(a.id), host(b.id)}, [2]host{host(b.id), host(a.id)})
}

func (s *stage) ways(shut bool, ways ...[2]host) {
	for _, way := range ways {
		s.network.set(way[0], way[1], shut)
	}
}

func (s *stage) cutOneWay() {
	a, b := s.two()
	way := [2]host{host(a.id), host(b.id)}
	s.ways(true, way)
	s.wait(4 * time.Second)
	s.ways(false, way)
}

// cutFromCouncil cuts a node off from the control plane, or from a part of it, in one direction or both.
func (s *stage) cutFromCouncil() {
	n, members, back := s.one(), 1+s.random.IntN(seats), s.random.IntN(2) == 0
	var ways [][2]host
	for _, member := range s.council.seats[:members] {
		ways = append(ways, [2]host{host(n.id), member.host})
		if back {
			ways = append(ways, [2]host{member.host, host(n.id)})
		}
	}
	s.ways(true, ways...)
	s.wait(6 * time.Second)
	s.ways(false, ways...)
}

func (s *stage) standStill() {
	n := s.one()
	s.network.freeze(host(n.id), true)
	s.wait(5 * time.Second)
	s.network.freeze(host(n.id), false)
}

func (s *stage) leaderStandsStill() {
	s.council.mu.Lock()
	leader := s.council.leader
	s.council.mu.Unlock()
	if leader == nil {
		return
	}
	s.network.freeze(leader.host, true)
	s.wait(4 * time.Second)
	s.network.freeze(leader.host, false)
}

func (s *stage) drainOne() {
	n := s.one()
	if s.operate(fsm.Drain{Node: n.id, On: true}) != nil {
		return
	}
	s.wait(3 * time.Second)
	_ = until(10*time.Second, func() bool { return s.operate(fsm.Drain{Node: n.id, On: false}) == nil })
}

func (s *stage) reweigh() {
	weight := 1 + s.random.IntN(4)
	_ = s.operate(fsm.Patch{Node: s.one().id, Patch: api.NodePatch{Weight: &weight}})
	s.wait(time.Second)
}

func (s *stage) crowdDisk() {
	n := s.one()
	n.crowd(true)
	s.wait(3 * time.Second)
	n.crowd(false)
}

// breakDisk has a disk take no writes. Its store fails, and its process ends with it.
func (s *stage) breakDisk() {
	n := s.one()
	p := n.process()
	if s.scene.Memory || p == nil {
		return
	}
	n.broken.Store(true)
	if until(3*time.Second, func() bool { return p.engine.Err() != nil }) {
		s.judge.count(func(c *counts) { c.DiskFailures++ })
	}
	s.crash(n)
	s.wait(3 * time.Second)
	s.restart(n)
}

// restore puts back a state of the control plane from a while ago.
func (s *stage) restore() {
	s.council.mu.Lock()
	states := s.council.states
	back := 1 + s.random.IntN(200)
	s.council.mu.Unlock()
	from := states[max(len(states)-back, len(states)/2)]
	if s.scene.Memory || from.Recovers() {
		return
	}
	command, err := fsm.RestoreOf(from, false)
	if err != nil {
		s.judge.fault("a state cannot be restored: %v", err)
		return
	}
	if s.operate(command) == nil {
		s.judge.count(func(c *counts) { c.Restores++ })
		_ = until(30*time.Second, func() bool { return !s.council.newest().Recovers() })
	}
}
