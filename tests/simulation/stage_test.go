package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/fsm"
	"github.com/stead-io/stead/nodesvc/replication"
)

const (
	clusterID  = api.ClusterID("00112233445566778899aabbccddeeff")
	nodesInAll = 4
	clients    = host("clients")
	sampleIn   = 20 * time.Millisecond
)

// scene is what a run is made of.
type scene struct {
	Seed     uint64
	Replicas int
	Memory   bool
	Length   time.Duration // of the time with faults, as the clocks of the simulation show it
	// Forgetful disks lose all at a crash: the protocol does not stand that, and the run must say so.
	Forgetful bool `json:",omitempty"`
}

func (s scene) String() string {
	kind := "disk"
	if s.Memory {
		kind = "memory"
	}
	return fmt.Sprintf("R=%d/%s/seed=%d", s.Replicas, kind, s.Seed)
}

// stage holds all that takes part in one run.
type stage struct {
	*testing.T
	scene   scene
	network *network
	council *council
	judge   *judge
	nodes   []*node
	history *operations
}

func newStage(t *testing.T, scene scene) *stage {
	record := newTranscript(scene)
	s := &stage{T: t, scene: scene, judge: newJudge(record), history: newOperations(record)}
	s.network = newNetwork(rand.New(rand.NewPCG(scene.Seed, 2)))
	s.network.listen(clients, nil)
	s.council = newCouncil(s.network, rand.New(rand.NewPCG(scene.Seed, 3)))
	s.council.note, s.council.fail = s.judge.committed, s.judge.fault
	for i := range nodesInAll {
		s.nodes = append(s.nodes, newNode(s, api.NodeID(fmt.Sprint("n", i+1)), scene.Memory))
	}
	return s
}

// found makes the cluster.
func (s *stage) found() {
	s.council.elect()
	settings := api.Settings{
		Service: "entries", State: api.StateManaged, Keys: []string{"header:X-Shard-Key"}, NoKey: api.NoKeyReject,
		SlotBits: slotBits, Replicas: s.scene.Replicas, Hash: api.HashSipHash24, HashKey: strings.Repeat("5a", 16),
	}
	s.must(fsm.Bootstrap{Cluster: clusterID, Level: fsm.LevelSupported, Settings: settings})
}

// operate has whoever leads carry out what an operator asks for; it answers whether it was done.
func (s *stage) operate(command fsm.Command) error {
	s.council.mu.Lock()
	leader := s.council.leader
	s.council.mu.Unlock()
	if leader == nil {
		return noLeader()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, err := s.council.propose(ctx, leader, "operator", command)
	return err
}

func (s *stage) must(command fsm.Command) {
	if err := s.operate(command); err != nil {
		s.judge.fault("%T was refused: %v", command, err)
	}
}

// store is the witness of a replica that runs; nil: it does not.
func (s *stage) store(member api.Replica) *witness {
	for _, n := range s.nodes {
		if p := n.process(); p != nil && p.self == member {
			return p.log
		}
	}
	return nil
}

// sample looks at everybody's place in every slot.
func (s *stage) sample() {
	for _, n := range s.nodes {
		p := n.process()
		if p == nil {
			continue
		}
		if err := p.engine.Err(); err != nil && !n.broken.Load() {
			s.judge.fault("%s failed: %v", n.id, err)
		}
		for slot := range api.Slot(1) << slotBits {
			if where := p.engine.Where(slot); where.Place == replication.PlaceHere && p.alive() {
				s.judge.serves(slot, where.Epoch, server{p.self, p.boot})
			}
		}
	}
}

// until waits for a condition; false: in vain.
func until(atMost time.Duration, is func() bool) bool {
	for end := time.Now().Add(atMost); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// whole reports whether every slot has all the copies that it should, and serves. A store in memory that is
// listed may be gone: its node has to be registered with the one it runs with.
func (s *stage) whole() bool {
	state := s.council.newest()
	for _, n := range s.nodes {
		listed := state.Node(n.id)
		if n.process() == nil || listed == nil || listed.Status != api.NodeUp || listed.Registration.StoreID != n.store {
			return false
		}
	}
	for _, config := range state.SlotsSince(0, true) {
		if config.Primary == "" || len(config.ISR) < s.scene.Replicas {
			return false
		}
	}
	return true
}

// settled reports whether every slot is where it is wanted, besides.
func (s *stage) settled() bool {
	for _, config := range s.council.newest().SlotsSince(0, true) {
		if config.Primary == "" || len(config.ISR) != s.scene.Replicas || config.Primary != config.Want[0] {
			return false
		}
	}
	return true
}

// run is the whole of it.
func (s *stage) run() {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	random := rand.New(rand.NewPCG(s.scene.Seed, 1))
	s.found()
	running.Go(func() { s.council.run(ctx) })
	for _, n := range s.nodes {
		if err := n.start(random); err != nil {
			s.judge.fault("%s does not start: %v", n.id, err)
		}
	}
	if !until(30*time.Second, s.settled) {
		s.judge.fault("the cluster does not come up: %s", s.state())
	}
	sampling, stopSampling := context.WithCancel(ctx)
	running.Go(func() { every(sampling, sampleIn, s.sample) })
	load := s.startLoad()
	s.trouble()
	s.calm()
	load.stop()
	s.finish()
	stopSampling()
	for _, n := range s.nodes {
		if p := n.process(); p != nil {
			n.end(p)
			p.close()
		}
	}
	stop()
	running.Wait()
	s.network.close()
}

// settleMax is more than twice what the longest patience of an engine is: two minutes for a copy to be restored.
const settleMax = 5 * time.Minute

// calm ends all faults, and waits for the cluster to be whole.
func (s *stage) calm() {
	s.network.healAll()
	for _, n := range s.nodes {
		n.broken.Store(false)
		n.crowd(false)
	}
	for _, n := range s.nodes {
		_ = until(5*time.Second, func() bool { return s.operate(fsm.Drain{Node: n.id, On: false}) == nil })
	}
	if !until(settleMax, s.settled) {
		s.judge.fault("long after the last fault slots are not where they should be: %s", s.state())
	}
}

// finish compares all that is kept.
func (s *stage) finish() {
	s.readAll()
	s.judge.settled(s.store)
	same := func() bool { return s.disagreement() == "" }
	if !until(20*time.Second, same) {
		s.judge.fault("replicas differ: %s", s.disagreement())
	}
	if err := s.council.newest().Check(); err != nil {
		s.judge.fault("the control plane's state at the end: %v", err)
	}
	s.history.check(s.judge)
}

// disagreement names a slot whose replicas hold different states.
func (s *stage) disagreement() string {
	for _, config := range s.council.newest().SlotsSince(0, true) {
		var first string
		for _, n := range s.nodes {
			p := n.process()
			if p == nil || !memberOf(config, p.self) {
				continue
			}
			at, digest, err := p.engine.Digest(config.Slot)
			is := fmt.Sprintf("%d %x %v", at, digest[:8], err)
			if first != "" && is != first {
				return fmt.Sprintf("slot %d: %s at %s, %s elsewhere", config.Slot, is, n.id, first)
			}
			first = is
		}
	}
	return ""
}

func memberOf(config api.SlotConfig, self api.Replica) bool {
	for _, member := range config.ISR {
		if member == self {
			return true
		}
	}
	return false
}

// state tells what is not as it should be, of the first few slots.
func (s *stage) state() string {
	var text strings.Builder
	state := s.council.newest()
	for _, node := range state.Nodes() {
		fmt.Fprintf(&text, "\n%s %s draining %v out %v session %s", node.Registration.ID, node.Status, node.Draining, node.Out, node.Session)
	}
	shown := 0
	for _, config := range state.SlotsSince(0, true) {
		if config.Primary != "" && len(config.ISR) == s.scene.Replicas && config.Primary == config.Want[0] || shown == 5 {
			continue
		}
		shown++
		fmt.Fprintf(&text, "\n%+v", config)
		for _, n := range s.nodes {
			if p := n.process(); p != nil {
				for _, held := range p.engine.Held() {
					if held.Slot == config.Slot {
						fmt.Fprintf(&text, "\n  %s %+v", n.id, held)
					}
				}
			}
		}
	}
	return text.String()
}
