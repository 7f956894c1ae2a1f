package simulation

import (
	"context"
	"errors"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/fsm"
)

const (
	askTimeout    = 2 * time.Second // of one member
	askPause      = 50 * time.Millisecond
	registerPause = 150 * time.Millisecond
)

var errEnded = errors.New("the process has ended")

// ask asks one member after the other until one answers as a leader, as api/client does. A request that was
// given up may still arrive.
func ask[A any](ctx context.Context, p *process, f func(context.Context, *seat) (A, error)) (answer A, err error) {
	for at := p.next(); ; at++ {
		s := p.council.seats[at%seats]
		bounded, cancel := context.WithTimeout(ctx, askTimeout)
		answer, err = call(bounded, p.network, host(p.id), s.host, func(ctx context.Context) (A, error) { return f(ctx, s) })
		cancel()
		switch {
		case !p.alive():
			return answer, errEnded
		case ctx.Err() != nil:
			return answer, ctx.Err()
		case err == nil || decided(err):
			p.hint.Store(int64(at % seats))
			return answer, err
		}
		pause(ctx, askPause)
	}
}

// decided reports whether an error is an answer, and not for want of one.
func decided(err error) bool {
	code := api.CodeOf(err)
	return code != "" && code != api.CodeNoLeader && code != api.CodeInternal
}

func (p *process) next() int { return int(p.hint.Load()) }

// belong registers and beats, as nodesvc does.
func (p *process) belong() {
	for p.ctx.Err() == nil {
		registered, err := p.register()
		if err != nil {
			pause(p.ctx, registerPause)
			continue
		}
		p.session.Store(&registered)
		p.engine.Registered(registered.Cursor)
		for p.beat(registered.Session) && !p.reborn(registered) {
			pause(p.ctx, p.long(api.NodeBeatInterval))
		}
	}
}

// reborn reports whether the control plane began another generation since.
func (p *process) reborn(registered api.Registered) bool {
	return p.generation.Load() > registered.Cursor.Generation
}

func (p *process) register() (api.Registered, error) {
	ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
	defer cancel()
	registered, err := ask(ctx, p, func(ctx context.Context, s *seat) (api.Registered, error) {
		return s.register(ctx, api.Registration{
			ID: p.id, Address: string(p.id) + ":1", TTL: api.Duration(api.TTLDefault), StoreID: p.store, Volatile: p.memory,
			Boot: p.boot, Nonce: p.nonce, Cluster: clusterID, State: api.StateManaged, SlotBits: slotBits, Reports: true,
		})
	})
	if err != nil {
		return registered, err
	}
	generation := registered.Version.Generation
	former := p.engine.Former(generation)
	if registered.Report {
		_, err = ask(ctx, p, func(ctx context.Context, s *seat) (struct{}, error) {
			return struct{}{}, s.report(ctx, p.id, registered.Session, api.Version{Generation: generation - 1}, former)
		})
	}
	return registered, err
}

// beat answers whether the session still stands.
func (p *process) beat(session api.SessionID) bool {
	ctx, cancel := context.WithTimeout(p.ctx, api.TTLDefault)
	defer cancel()
	_, err := ask(ctx, p, func(_ context.Context, s *seat) (struct{}, error) {
		return struct{}{}, s.beat(p.id, api.Beat{Session: session})
	})
	code := api.CodeOf(err)
	return p.ctx.Err() == nil && code != api.CodeNodeUnknown && code != api.CodeUnknownSession
}

// Propose implements replication.Control.
func (p *process) Propose(ctx context.Context, proposals []api.SlotProposal) (api.SlotVerdicts, error) {
	registered := p.session.Load()
	if registered == nil {
		return api.SlotVerdicts{}, noLeader()
	}
	asked := fsm.Cas{Node: p.id, Session: registered.Session, Generation: registered.Cursor.Generation, Proposals: proposals}
	return ask(ctx, p, func(ctx context.Context, s *seat) (api.SlotVerdicts, error) { return s.cas(ctx, asked) })
}

// follow learns configurations, from whichever member: one that is behind tells old ones.
func (p *process) follow() {
	var after api.SlotCursor
	for at := int(p.boot); p.ctx.Err() == nil; at++ {
		s := p.council.seats[at%seats]
		for {
			feed, err := p.poll(s, after)
			if err != nil {
				break
			}
			after = feed.Cursor
			p.generation.Store(max(p.generation.Load(), after.Generation))
			p.engine.Learn(feed)
		}
		pause(p.ctx, askPause)
	}
}

// pollTimeout is shorter than a long-poll may be: the member may be cut off.
const pollTimeout = 3 * time.Second

func (p *process) poll(s *seat, after api.SlotCursor) (api.SlotFeed, error) {
	ctx, cancel := context.WithTimeout(p.ctx, pollTimeout)
	defer cancel()
	return call(ctx, p.network, host(p.id), s.host, func(context.Context) (api.SlotFeed, error) { return s.feed(ctx, after) })
}
