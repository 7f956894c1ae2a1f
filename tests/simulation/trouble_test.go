package simulation

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/fsm"
)

// trouble is a kind of fault. Its weight says how often it comes.
type trouble struct {
	name   string
	weight int
	make   func(*nemesis)
}

// What takes hosts and disks away comes one after the other.
var harms = []trouble{
	{"crash", 6, (*nemesis).crashOne},
	{"crash two", 3, (*nemesis).crashTwo},
	{"leave", 3, (*nemesis).leaveOne},
	{"cut", 4, (*nemesis).cutPair},
	{"cut one way", 4, (*nemesis).cutOneWay},
	{"cut from the control plane", 3, (*nemesis).cutFromCouncil},
	{"stand still", 4, (*nemesis).standStill},
	{"disk nearly full", 2, (*nemesis).crowdDisk},
	{"disk full", 2, (*nemesis).breakDisk},
}

// What moves slots, and troubles the control plane, goes on meanwhile.
var moves = []trouble{
	{"drain", 6, (*nemesis).drainOne},
	{"evict", 2, (*nemesis).evictOne},
	{"reweigh", 4, (*nemesis).reweigh},
	{"reset", 4, (*nemesis).resetSome},
	{"other leader", 2, func(n *nemesis) { n.council.abdicate() }},
	{"member stands still", 3, (*nemesis).memberStandsStill},
	{"clock jumps", 2, (*nemesis).jumpClock},
	{"restore", 1, (*nemesis).restore},
}

// nemesis makes one kind of trouble after another. Which, of whom and for how long is drawn from the seed; when
// it is over may depend on the cluster, where that has to be whole first.
type nemesis struct {
	*stage
	random *rand.Rand
}

// trouble makes faults for as long as the scene says.
func (s *stage) trouble() {
	var making sync.WaitGroup
	for i, kinds := range [][]trouble{harms, moves} {
		n := &nemesis{stage: s, random: rand.New(rand.NewPCG(s.scene.Seed, uint64(10+i)))}
		making.Go(func() { n.rage(kinds) })
	}
	making.Wait()
}

func (n *nemesis) rage(kinds []trouble) {
	sum := 0
	for _, kind := range kinds {
		sum += kind.weight
	}
	for end := time.Now().Add(n.scene.Length); time.Now().Before(end) && n.judge.sound(); n.wait(300 * time.Millisecond) {
		place := n.random.IntN(sum)
		for _, kind := range kinds {
			if place -= kind.weight; place < 0 {
				n.judge.transcript.add("trouble", fmt.Sprintf("%v %s", n.scene.Length-time.Until(end), kind.name))
				n.judge.count(func(c *counts) { c.Troubles++ })
				kind.make(n)
				break
			}
		}
	}
}

// wait lets some time go by, at most so much.
func (n *nemesis) wait(atMost time.Duration) {
	time.Sleep(time.Duration(n.random.Int64N(int64(atMost))))
}

// quiet is for how long the cluster has to be whole: proposals that take copies away may be under way.
const quiet = 2 * time.Second

func (n *nemesis) one() *node { return n.nodes[n.random.IntN(len(n.nodes))] }

func (n *nemesis) two() (a, b *node) {
	chosen := n.random.Perm(len(n.nodes))
	return n.nodes[chosen[0]], n.nodes[chosen[1]]
}

// spared reports whether no copy may be taken away now: what is in memory has to be in sync elsewhere, as an
// operator would see to. What is on disk is never lost.
func (n *nemesis) spared() bool {
	if !n.scene.Memory {
		return false
	}
	since := time.Now()
	return n.scene.Replicas == 1 || !until(30*time.Second, func() bool {
		if !n.whole() {
			since = time.Now()
		}
		return time.Since(since) > quiet
	})
}

func (n *nemesis) crashOne() { n.crashOneAfter(n.one()) }

func (n *nemesis) crashOneAfter(at *node) {
	if n.spared() {
		return
	}
	n.crash(at)
	n.wait(4 * time.Second)
	n.restart(at)
}

func (n *nemesis) crash(at *node) {
	at.crash(n.random)
	n.judge.count(func(c *counts) { c.Crashes++ })
}

func (n *nemesis) restart(at *node) {
	at.broken.Store(false)
	if err := at.start(n.random); err != nil {
		n.judge.fault("%s does not start again: %v", at.id, err)
	}
}

func (n *nemesis) crashTwo() {
	a, b := n.two()
	if n.scene.Memory {
		n.crashOneAfter(a)
		return
	}
	n.crash(a)
	n.wait(300 * time.Millisecond)
	n.crash(b)
	n.wait(3 * time.Second)
	n.restart(a)
	n.wait(time.Second)
	n.restart(b)
}

func (n *nemesis) leaveOne() {
	at := n.one()
	if n.spared() {
		return
	}
	at.leave()
	n.judge.count(func(c *counts) { c.Restarts++ })
	n.wait(time.Second)
	n.restart(at)
}

func (n *nemesis) resetSome() {
	for range 1 + n.random.IntN(5) {
		a, b := n.two()
		n.network.cut(host(a.id), host(b.id))
		n.wait(20 * time.Millisecond)
	}
}

func (n *nemesis) cutPair() {
	a, b := n.two()
	n.ways(true, [2]host{host(a.id), host(b.id)}, [2]host{host(b.id), host(a.id)})
	n.wait(4 * time.Second)
	n.ways(false, [2]host{host(a.id), host(b.id)}, [2]host{host(b.id), host(a.id)})
}

func (n *nemesis) ways(shut bool, ways ...[2]host) {
	for _, way := range ways {
		n.network.set(way[0], way[1], shut)
	}
}

func (n *nemesis) cutOneWay() {
	a, b := n.two()
	way := [2]host{host(a.id), host(b.id)}
	n.ways(true, way)
	n.wait(4 * time.Second)
	n.ways(false, way)
}

// cutFromCouncil cuts a node off from the control plane, or from a part of it, in one direction or both.
func (n *nemesis) cutFromCouncil() {
	at, members, back := n.one(), 1+n.random.IntN(seats), n.random.IntN(2) == 0
	var ways [][2]host
	for _, member := range n.council.seats[:members] {
		ways = append(ways, [2]host{host(at.id), member.host})
		if back {
			ways = append(ways, [2]host{member.host, host(at.id)})
		}
	}
	n.ways(true, ways...)
	n.wait(6 * time.Second)
	n.ways(false, ways...)
}

func (n *nemesis) standStill() {
	at := n.one()
	n.network.freeze(host(at.id), true)
	n.wait(5 * time.Second)
	n.network.freeze(host(at.id), false)
}

// memberStandsStill has a member of the control plane stand still, the leader or one that falls behind.
func (n *nemesis) memberStandsStill() {
	at := n.council.seats[n.random.IntN(seats)].host
	n.network.freeze(at, true)
	n.wait(4 * time.Second)
	n.network.freeze(at, false)
}

// jumpClock sets a member's wall clock, forwards or back.
func (n *nemesis) jumpClock() {
	by := time.Duration(n.random.Int64N(int64(2*time.Hour))) - time.Hour
	at := n.council.seats[n.random.IntN(seats)]
	n.council.mu.Lock()
	defer n.council.mu.Unlock()
	at.skew += by
}

func (n *nemesis) drainOne() {
	at := n.one()
	n.rid(at, fsm.Drain{Node: at.id, On: true})
}

// evictOne takes a node out of in-sync sets at once. Where those left are in memory, one of them that has just
// crashed, and is not known to have, would be the only copy.
func (n *nemesis) evictOne() {
	at := n.one()
	if n.scene.Memory {
		n.rid(at, fsm.Drain{Node: at.id, On: true})
		return
	}
	n.rid(at, fsm.Evict{Node: at.id})
}

// rid has a node hold nothing for a while.
func (n *nemesis) rid(at *node, command fsm.Command) {
	if n.operate(command) != nil {
		return
	}
	n.wait(3 * time.Second)
	_ = until(10*time.Second, func() bool { return n.operate(fsm.Drain{Node: at.id, On: false}) == nil })
}

func (n *nemesis) reweigh() {
	weight := 1 + n.random.IntN(4)
	_ = n.operate(fsm.Patch{Node: n.one().id, Patch: api.NodePatch{Weight: &weight}})
	n.wait(time.Second)
}

func (n *nemesis) crowdDisk() {
	at := n.one()
	at.crowd(true)
	n.wait(3 * time.Second)
	at.crowd(false)
}

// breakDisk has a disk take no writes. Its store fails, and its process ends with it.
func (n *nemesis) breakDisk() {
	at := n.one()
	p := at.process()
	if n.scene.Memory || p == nil {
		return
	}
	at.broken.Store(true)
	if until(3*time.Second, func() bool { return p.engine.Err() != nil }) {
		n.judge.count(func(c *counts) { c.DiskFailures++ })
	}
	n.crash(at)
	n.wait(3 * time.Second)
	n.restart(at)
}

// restore begins a new generation of the control plane's state as it is: every node has to register and report
// anew. An older state may forget in-sync sets that nobody else knows of, and what they acknowledged: history
// calls it lossy, and there is nothing to check.
func (n *nemesis) restore() {
	if n.scene.Memory {
		return // a store in memory that ended would be waited for until an operator gave it up
	}
	if n.council.restore() {
		n.judge.count(func(c *counts) { c.Restores++ })
		_ = until(30*time.Second, func() bool { return !n.council.newest().Recovers() })
	}
}
