// Package replication keeps the slots of one node: it replicates what the service's updates record, and moves
// slots between nodes while they are used.
//
// It owns the roles this store has in slots, the flow of records to other replicas and to the service, copies,
// hand-overs and deletion. It does not own decisions: which configurations there may be, who must acknowledge,
// when a slot may open, are package ownership's. Nor does it own the log (slotlog), connections (peer), or who
// is registered (nodesvc).
//
// Its invariants are those of package ownership. How it holds them:
//
//   - One worker at a time moves a slot on; messages only change what it will see. A slot's mutex is never held
//     during I/O, the service's calls, or waits.
//   - Everything said to another store about an epoch is said after the epoch is durable here.
//   - Acknowledgements count in the epoch that they were given in, and in no other.
package replication

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc/replication/peer"
	"github.com/stead-io/stead/nodesvc/replication/slotlog"
)

// Control is what the engine asks of the control plane.
type Control interface {
	// Propose asks for configurations, at most api.SlotProposalsMax of them, as the node and session that
	// registered last. The verdicts come in the same order.
	Propose(context.Context, []api.SlotProposal) (api.SlotVerdicts, error)
}

// Config says what an engine works with.
type Config struct {
	Self    api.Replica
	Bits    int // the ring has 2^Bits slots
	Service Service
	Log     slotlog.Store
	Network peer.Network // nil: there are no others
	Control Control      // nil: configurations are what Learn says, and nothing is proposed (state none)
	Logger  *slog.Logger // nil: nobody hears
	// Volatile: log and state are in memory, and gone with the process.
	Volatile bool
	// Frozen: the service keeps no log (state hooks). A slot is drained before it is copied.
	Frozen bool

	// AckTimeout is how long a replica may owe an answer before it leaves the in-sync set.
	AckTimeout time.Duration
	// DrainTimeout is how long a hand-over waits for running updates and reads before it backs off.
	DrainTimeout time.Duration
	// CopyOut and CopyIn bound copying, in bytes per second; 0: no bound. What goes out halves while requests
	// take twice as long as usual. CopySlots is how many slots are copied out at once.
	CopyOut, CopyIn uint64
	CopySlots       int
	// LogBytes is about how many bytes of records are kept, of all slots together, for replicas that were away:
	// one that needs older ones is given a copy.
	LogBytes uint64
	// Reserve is how many bytes of the disk stay free: below, replicas say full and writes are refused.
	Reserve uint64
}

// Place is how the node stands to a slot.
type Place uint8

const (
	PlaceElsewhere Place = iota // another node serves it, or nobody
	PlaceComing                 // this node is about to serve it, or serves it again in a moment: wait
	PlaceHere                   // this node serves it
)

// Where is how the node stands to a slot, and who else does.
type Where struct {
	Place Place
	Epoch api.Epoch
	Owner api.NodeID    // the primary, as far as known
	Moved chan struct{} // closed when any of this changes
}

// Defaults of a Config.
const (
	AckTimeoutDefault   = time.Second
	DrainTimeoutDefault = 250 * time.Millisecond
	CopySlotsDefault    = 2
	LogBytesDefault     = 512 << 20
)

// workersMin is the fewest workers: some wait for disks.
const workersMin = 8

// Engine keeps the slots of one store. Its methods are safe for concurrent use.
type Engine struct {
	config Config
	logger *slog.Logger
	slots  []atomic.Pointer[slot]

	making     sync.Mutex // of slots
	nodes      atomic.Pointer[directory]
	registered atomic.Uint64 // order of the cursor since which this process may be primary
	told       atomic.Bool   // the control plane has said who holds what
	heard      atomic.Uint64 // order of the last cursor up to which all it said was learned
	floor      atomic.Uint64 // epochs up to this one are of former generations and obeyed no more
	session    atomic.Uint64 // generation of the newest session
	leaves     atomic.Bool
	full       atomic.Bool // the disk is

	queue     *queue
	attention *attention
	proposer  *proposer
	handOvers *gate
	members   *gate // changes of in-sync sets
	repairs   *gate // those of slots that lack a replica
	starts    *gate
	confirms  *confirms
	leavers   *leavers
	commits   *commits
	trims     *trims
	copies    *copies
	count     counters
	latencies latencies

	stop     context.CancelFunc
	closing  chan struct{}
	running  sync.WaitGroup
	once     sync.Once
	failOnce sync.Once
	failed   chan struct{}
	failure  error
}

// Open reads the log and begins to work. The caller makes the network deliver to the engine (Linked, Lost,
// Receive), and tells it configurations.
func Open(config Config) (*Engine, error) {
	e := &Engine{
		config: withDefaults(config), slots: make([]atomic.Pointer[slot], 1<<config.Bits),
		queue: newQueue(), attention: newAttention(), closing: make(chan struct{}), leavers: newLeavers(), failed: make(chan struct{}),
	}
	e.logger = e.config.Logger
	e.nodes.Store(&directory{})
	if config.Control != nil {
		e.registered.Store(unregistered)
	}
	e.proposer, e.confirms, e.commits = newProposer(e), newConfirms(e), newCommits(e)
	e.trims, e.copies = newTrims(e), newCopies(e)
	e.handOvers, e.members = newGate(e, handOversAtOnce(e.config), handOversRest, 0), newGate(e, membersMax, 0, membersPause)
	e.repairs = newGate(e, repairsMax, 0, repairsPause)
	e.starts = newGate(e, startsMax, 0, startsPause)
	if err := e.load(); err != nil {
		return nil, fmt.Errorf("cannot open the slots: %w", err)
	}
	e.start()
	return e, nil
}

func withDefaults(config Config) Config {
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.AckTimeout == 0 {
		config.AckTimeout = AckTimeoutDefault
	}
	if config.DrainTimeout == 0 {
		config.DrainTimeout = DrainTimeoutDefault
	}
	if config.LogBytes == 0 {
		config.LogBytes = LogBytesDefault
	}
	if config.CopySlots == 0 {
		config.CopySlots = CopySlotsDefault
	}
	return config
}

// start begins every goroutine of the engine; Close ends them.
func (e *Engine) start() {
	ctx, stop := context.WithCancel(context.Background())
	e.stop = stop
	for range max(workersMin, 2*runtime.GOMAXPROCS(0)) {
		e.running.Go(e.work)
	}
	e.running.Go(func() { e.reconcile(ctx) })
	e.running.Go(func() { e.keepTelling(ctx) })
	e.running.Go(func() { e.housekeep(ctx) })
	e.running.Go(func() { e.watchLog(ctx) })
	if e.config.Control != nil {
		for range proposalsInFlight {
			e.running.Go(func() { e.proposer.run(ctx) })
		}
	}
}

// keepTelling sends what may wait a moment: how far replicas may apply, and acknowledgements held back.
func (e *Engine) keepTelling(ctx context.Context) {
	tick := time.NewTicker(commitEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			e.commits.tell()
			e.copies.late.send(now)
		}
	}
}

func (e *Engine) watchLog(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-e.config.Log.Failed():
		e.fail(fmt.Errorf("the log failed: %w", e.config.Log.Err()))
	}
}

// slot is the slot of a number, made if need be.
func (e *Engine) slot(number api.Slot) *slot {
	if s := e.slots[number].Load(); s != nil {
		return s
	}
	e.making.Lock()
	defer e.making.Unlock()
	if s := e.slots[number].Load(); s != nil {
		return s
	}
	s := newSlot(e, number, slotlog.Loaded{})
	e.slots[number].Store(s)
	return s
}

// each calls f for every slot there is anything of.
func (e *Engine) each(f func(*slot)) {
	for i := range e.slots {
		if s := e.slots[i].Load(); s != nil {
			f(s)
		}
	}
}

// Where is how the node stands to a slot now.
func (e *Engine) Where(number api.Slot) Where {
	s := e.slot(number)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.where()
}

// fail ends the engine for good: it serves nothing from here on.
func (e *Engine) fail(err error) {
	e.failOnce.Do(func() {
		e.failure = err
		close(e.failed)
		e.logger.Error("the node's slots cannot be kept any longer", "error", err)
	})
}

// Failed is closed when the node must end; Err then says why.
func (e *Engine) Failed() <-chan struct{} { return e.failed }

// Err is why the engine failed, nil while it has not.
func (e *Engine) Err() error {
	select {
	case <-e.failed:
		return e.failure
	default:
		return nil
	}
}

// Close stops everything Open started. Updates that wait end with an unknown outcome.
func (e *Engine) Close() error {
	e.once.Do(func() {
		close(e.closing)
		e.stop()
		e.proposer.close()
		e.copies.close()
		e.each(func(s *slot) { s.close() })
		e.queue.close()
		e.running.Wait()
	})
	return e.Err()
}

// closes reports whether Close was called: what waits from then on would wait for ever.
func (e *Engine) closes() bool {
	select {
	case <-e.closing:
		return true
	default:
		return false
	}
}

// close ends what waits on the slot.
func (s *slot) close() {
	s.mu.Lock()
	waiting := append(s.abandoned, s.waiting...)
	s.waiting, s.abandoned = nil, nil
	s.mu.Unlock()
	for _, w := range waiting {
		w.resolve(nil, outcomeUnknown())
	}
}

var errNoState = errors.New("the log does not reach back to the state that the service has")
