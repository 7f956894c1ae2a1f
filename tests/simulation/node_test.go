package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc/replication"
	"github.com/stead-io/stead/nodesvc/replication/peer"
	"github.com/stead-io/stead/nodesvc/replication/slotlog"
)

const (
	slotBits   = api.SlotBitsMin
	ackTimeout = 500 * time.Millisecond
	dataFolder = "/data"
	logBytes   = 2 << 10 << slotBits // small, so that logs are trimmed and replicas that were away need copies
	reserve    = 1 << 20
)

// node is a machine: it has a disk, an address and at most one process.
type node struct {
	*stage
	id     api.NodeID
	memory bool
	disk   *vfs.MemFS
	broken atomic.Bool // the disk takes no writes
	boot   uint64
	store  api.StoreID
	last   *witness

	mu  sync.Mutex
	now *process // nil: it is down
}

// process is one run of a node: the product's engine, links and log, and the loops of nodesvc around them.
type process struct {
	*node
	self    api.Replica
	boot    uint64
	nonce   string
	pace    float64 // of its clocks: what it waits for takes so many times as long
	links   *peer.Links
	log     *witness
	engine  *replication.Engine
	entries *entries
	session atomic.Pointer[api.Registered]
	// generation is the newest that the control plane told; hint is which member leads, as far as is known.
	generation atomic.Uint64
	hint       atomic.Int64

	ended   chan struct{} // closed first of all: nothing it says counts from then on
	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup
}

func newNode(s *stage, id api.NodeID, memory bool) *node {
	n := &node{stage: s, id: id, memory: memory, disk: vfs.NewCrashableMem(), store: api.StoreID(fmt.Sprintf("%032x", string(id)))}
	return n
}

// process is the one that runs, nil if none does.
func (n *node) process() *process {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.now
}

// heard passes on to the engine, which is opened after the links.
type heard struct{ peer.Handler }

// start runs the node; a disk that takes no writes keeps it from running.
func (n *node) start(random *rand.Rand) error {
	n.boot++
	p := &process{
		node: n, boot: n.boot, nonce: fmt.Sprintf("%s-%d", n.id, n.boot), pace: 0.6 + 0.9*random.Float64(),
		entries: newEntries(), ended: make(chan struct{}),
	}
	if n.memory {
		n.store, n.last = api.StoreID(fmt.Sprintf("%032x", p.nonce)), nil
	}
	p.self = api.Replica{Node: n.id, Store: n.store}
	p.ctx, p.stop = context.WithCancel(context.Background())
	if err := p.open(); err != nil {
		p.stop()
		return err
	}
	n.last = p.log
	n.network.listen(host(n.id), func(c net.Conn) { p.links.Accept(c, "") })
	p.running.Go(p.belong)
	p.running.Go(p.follow)
	n.mu.Lock()
	n.now = p
	n.mu.Unlock()
	return nil
}

func (p *process) open() error {
	store, err := p.openLog()
	if err != nil {
		return err
	}
	p.log = newWitness(store, p.self, p.judge, p.last)
	hears := &heard{}
	p.links = peer.Open(peer.Config{
		Self: peer.Hello{Cluster: clusterID, Node: p.id, Store: p.store, Nonce: p.nonce, SlotBits: slotBits, State: api.StateManaged}, Handler: hears,
		Dial: func(ctx context.Context, to api.NodeID, _ string) (net.Conn, error) {
			return p.network.dial(ctx, host(p.id), host(to))
		},
		SilenceMax: p.long(peer.SilenceMaxDefault), WriteTimeout: p.long(peer.WriteTimeoutDefault),
	})
	engine, err := replication.Open(replication.Config{
		Self: p.self, Bits: slotBits, Service: p.entries, Log: p.log, Network: p.links, Control: p, Volatile: p.memory,
		AckTimeout: p.long(ackTimeout), DrainTimeout: p.long(replication.DrainTimeoutDefault), LogBytes: logBytes, Reserve: reserve,
	})
	if err != nil {
		_ = p.links.Close()
		p.closeLog()
		return err
	}
	p.log.open()
	p.engine, hears.Handler = engine, engine
	return nil
}

func (p *process) openLog() (slotlog.Store, error) {
	if p.memory {
		return slotlog.NewMemory(), nil
	}
	return slotlog.OpenDisk(dataFolder, slotlog.DiskOptions{FS: p.files()})
}

// long is a time as this process' clock measures it.
func (p *process) long(d time.Duration) time.Duration { return time.Duration(float64(d) * p.pace) }

// files is the disk, which fails while it is broken.
func (n *node) files() vfs.FS {
	n.disk.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 30, TotalBytes: 1 << 31})
	return errorfs.Wrap(n.disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if n.broken.Load() && (op.Kind == errorfs.OpFileWrite || op.Kind == errorfs.OpCreate) {
			return syscall.ENOSPC
		}
		return nil
	}))
}

// crowd fills the disk up to the reserve, or empties it.
func (n *node) crowd(full bool) {
	left := uint64(1 << 30)
	if full {
		left = reserve / 2
	}
	n.disk.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: left, TotalBytes: 1 << 31})
}

// crash ends the process at once. Of what was not synced a part is lost, torn where that may be.
func (n *node) crash(random *rand.Rand) {
	p := n.process()
	if p == nil {
		return
	}
	n.end(p)
	if n.scene.Forgetful {
		n.disk = vfs.NewCrashableMem()
	} else if !n.memory {
		n.disk = n.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 25 * random.IntN(4), RNG: rand.New(rand.NewPCG(random.Uint64(), 1))})
	}
	p.close()
}

// leave ends the process in good order: it hands over what others can take, and says that it goes.
func (n *node) leave() {
	p := n.process()
	if p == nil {
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, 3*time.Second)
	_ = p.engine.Yield(ctx)
	if registered := p.session.Load(); registered != nil {
		_, _ = ask(ctx, p, func(_ context.Context, s *seat) (struct{}, error) {
			return struct{}{}, s.beat(p.id, api.Beat{Session: registered.Session, Leaving: true})
		})
	}
	cancel()
	n.end(p)
	p.close()
}

// end has nothing of the process count any more.
func (n *node) end(p *process) {
	close(p.ended)
	p.log.stop()
	n.network.listen(host(n.id), nil)
	n.mu.Lock()
	n.now = nil
	n.mu.Unlock()
}

func (p *process) close() {
	p.stop()
	_ = p.links.Close()
	_ = p.engine.Close()
	p.running.Wait()
	stats := p.engine.Stats()
	p.judge.count(func(c *counts) { c.Copies += stats.CopiesIn })
	p.closeLog()
}

// closeLog ends also a store that failed: a machine's process would end with it.
func (p *process) closeLog() {
	p.broken.Store(false)
	_ = p.log.Store.Close()
	if p.log.Err() != nil {
		_ = slotlog.Abandon(p.log.Store)
	}
}

// alive reports whether what the process says counts.
func (p *process) alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}
