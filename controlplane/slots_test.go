package controlplane

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/client"
)

// primaries play the nodes of a managed cluster: they bring every slot to what is wanted, as far as its
// configuration goes.
type primaries struct {
	t        *testing.T
	control  *client.Client
	sessions map[api.NodeID]api.SessionID
	stores   map[api.NodeID]api.StoreID

	mu    sync.Mutex
	slots map[api.Slot]api.SlotConfig
	feeds int
}

// register has n1, n2 and n3 register, and answers once the slots are theirs.
func (p *primaries) register() {
	p.t.Helper()
	for i := range 3 {
		id := api.NodeID(fmt.Sprintf("n%d", i+1))
		p.stores[id] = api.StoreID(strings.Repeat(fmt.Sprintf("0%d", i+1), 16))
		registered, err := p.control.Register(p.t.Context(), api.Registration{
			ID: id, Address: fmt.Sprintf("127.0.0.1:%d", 1000+i), State: api.StateManaged, StoreID: p.stores[id], TTL: api.Duration(api.TTLMax),
		}.WithDefaults())
		if err != nil {
			p.t.Fatal(err)
		}
		if registered.Cursor.Generation != 1 || registered.Cursor.Index == 0 {
			p.t.Errorf("%s began at %v", id, registered.Cursor)
		}
		p.sessions[id] = registered.Session
	}
}

// follow takes feeds, and answers each with the proposals it calls for, until ctx ends.
func (p *primaries) follow(ctx context.Context, feed *client.Client) {
	_ = feed.WatchSlots(ctx, func(feed api.SlotFeed) {
		p.mu.Lock()
		p.feeds++
		if feed.Full {
			p.slots = make(map[api.Slot]api.SlotConfig)
		}
		proposals := make(map[api.NodeID][]api.SlotProposal)
		for _, config := range feed.Slots {
			p.slots[config.Slot] = config
			if by, proposal, needed := p.next(config); needed {
				proposals[by] = append(proposals[by], proposal)
			}
		}
		p.mu.Unlock()
		for by, list := range proposals {
			for batch := range slices.Chunk(list, api.SlotProposalsMax) {
				p.propose(ctx, by, batch)
			}
		}
	})
}

func (p *primaries) propose(ctx context.Context, by api.NodeID, batch []api.SlotProposal) {
	verdicts, err := p.control.ProposeSlots(ctx, api.SlotProposals{
		Node: by, Session: p.sessions[by], Generation: 1, SlotBits: api.SlotBitsMin, Proposals: batch,
	})
	if err != nil && ctx.Err() == nil {
		p.t.Error(err)
	}
	for i, verdict := range verdicts.Verdicts {
		if verdict.Refusal != "" && verdict.Refusal != "stale_epoch" {
			p.t.Errorf("%s: %+v is refused: %s", by, batch[i], verdict.Refusal)
		}
	}
}

// next is what the nodes of a slot propose towards its want, and which of them.
func (p *primaries) next(config api.SlotConfig) (by api.NodeID, proposal api.SlotProposal, needed bool) {
	proposal = api.SlotProposal{Slot: config.Slot, Base: config.Epoch, Primary: config.Primary, ISR: config.ISR}
	if config.Primary == "" {
		return "", proposal, false
	}
	for _, id := range config.Want {
		if !config.Holds(id) {
			proposal.Kind, proposal.ISR = "expand", append(slices.Clone(config.ISR), api.Replica{Node: id, Store: p.stores[id]})
			return config.Primary, proposal, true
		}
	}
	if heir := config.Want[0]; heir != config.Primary {
		proposal.Kind, proposal.Primary = "transfer", heir
		return heir, proposal, true
	}
	proposal.ISR = slices.DeleteFunc(slices.Clone(config.ISR), func(r api.Replica) bool { return !slices.Contains(config.Want, r.Node) })
	proposal.Kind = "shrink"
	return config.Primary, proposal, len(proposal.ISR) < len(config.ISR)
}

// heldBy counts the slots that the feed tells a node holds.
func (p *primaries) heldBy(id api.NodeID) (held, all int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, config := range p.slots {
		if config.Holds(id) {
			held++
		}
	}
	return held, len(p.slots)
}

// TestSlotsOverTheWire: a drain as nodes live through it, who hear of slots from a follower, and whose
// proposals it passes on.
func TestSlotsOverTheWire(t *testing.T) {
	c := &cluster{t: t, folder: t.TempDir(), edit: func(config *Config) {
		config.Settings.State, config.Settings.Replicas, config.Settings.SlotBits = api.StateManaged, 2, api.SlotBitsMin
	}}
	c.open()
	leader := c.leader()
	follower := c.members[slices.IndexFunc(c.members[:], func(m *Member) bool { return m != leader })]
	control, err := client.New(client.Config{Members: []string{follower.APIAddr()}, Actor: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	nodes := &primaries{t: t, control: control, sessions: map[api.NodeID]api.SessionID{}, stores: map[api.NodeID]api.StoreID{}}
	ctx, stop := context.WithCancel(t.Context())
	var following sync.WaitGroup
	following.Go(func() { nodes.follow(ctx, control) })
	defer following.Wait()
	defer stop()
	nodes.register()
	c.await("every slot to have its nodes", func() bool {
		held, all := nodes.heldBy("n1")
		return all == 256 && held > 0 && leader.State().SlotsInSync()[leader.State().Node("n1").Index] == held
	})

	changed, err := control.Drain(ctx, "n1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := control.Beat(ctx, "n1", api.Beat{Session: nodes.sessions["n1"], Moves: &api.Moves{Running: 2, BytesLeft: 500}}); err != nil {
		t.Fatal(err)
	}
	if n1, err := control.Node(ctx, "n1"); err != nil || n1.Moves == nil || n1.Moves.Running != 2 {
		t.Errorf("n1 shows %+v, %v", n1.Moves, err)
	}
	c.await("n1 to hold nothing", func() bool { held, _ := nodes.heldBy("n1"); return held == 0 })
	c.await("the change to be done", func() bool {
		change, err := control.Change(ctx, changed.Change)
		return err == nil && change.Status == api.ChangeDone && change.Progress.Done == change.Progress.Total && change.Progress.Total > 0
	})
	config, err := control.Slot(ctx, 0)
	if err != nil || config.Holds("n1") || len(config.ISR) != 2 {
		t.Errorf("slot 0 is %+v, %v", config, err)
	}
	if _, err := control.CancelChange(ctx, changed.Change); api.CodeOf(err) != api.CodeConflict {
		t.Errorf("a change that is done was cancelled: %v", err)
	}
	evicted, err := control.EvictNode(ctx, "n2")
	if err != nil || len(evicted.Kept) != 0 {
		t.Errorf("evicted n2: %+v, %v", evicted, err)
	}
	stop()
	following.Wait()
	t.Logf("%d feeds told of it all", nodes.feeds)
}
