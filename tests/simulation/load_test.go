package simulation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/nodesvc/replication"
	"github.com/stead-io/stead/tests/history"
)

const (
	lanes          = 12 // keys at a time
	clientsPerLane = 3
	tryTimeout     = 3 * time.Second
	operationTime  = 6 * time.Second
	think          = 120 * time.Millisecond // at most, between two operations of a client
)

// slotOf spreads lanes over the ring: two of them share each slot.
func slotOf(lane int) api.Slot { return api.Slot(lane / 2 * 37 % (1 << slotBits)) }

// load is the clients.
type load struct {
	cancel  context.CancelFunc
	running sync.WaitGroup
}

func (s *stage) startLoad() *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel}
	for lane := range lanes {
		for client := range clientsPerLane {
			number := lane*clientsPerLane + client
			random := rand.New(rand.NewPCG(s.scene.Seed, uint64(100+number)))
			l.running.Go(func() { s.useLane(ctx, lane, number, random) })
		}
	}
	return l
}

func (l *load) stop() {
	l.cancel()
	l.running.Wait()
}

func (s *stage) useLane(ctx context.Context, lane, client int, random *rand.Rand) {
	seen := ""
	for ctx.Err() == nil && s.judge.sound() {
		key := s.history.key(lane)
		o := history.Operation{Client: client, Key: key}
		switch n := random.IntN(10); {
		case n < 4:
			o.Kind = history.Get
		case n < 7:
			o.Kind = history.Put
		case n < 9:
			o.Kind, o.Expect = history.Swap, seen
		default:
			o.Kind = history.Delete
		}
		if answer := s.do(slotOf(lane), s.history.begin(o), random); answer != nil && o.Kind == history.Get {
			seen = answer.Value
		}
		pause(ctx, time.Duration(random.Int64N(int64(think))))
	}
}

// readAll reads every key once more.
func (s *stage) readAll() {
	var reading sync.WaitGroup
	for lane := range lanes {
		for _, key := range s.history.keysOf(lane) {
			reading.Go(func() {
				o := s.history.begin(history.Operation{Client: lanes * clientsPerLane, Key: key, Kind: history.Get})
				if s.do(slotOf(lane), o, nil) == nil {
					s.judge.fault("%s in slot %d cannot be read at the end", key, slotOf(lane))
				}
			})
		}
	}
	reading.Wait()
}

// do carries an operation to whoever serves the slot: a proxy that is told not_owner asks elsewhere.
func (s *stage) do(slot api.Slot, o history.Operation, random *rand.Rand) *history.Answer {
	ctx, cancel := context.WithTimeout(context.Background(), operationTime)
	defer cancel()
	for ctx.Err() == nil {
		p := s.ownerOf(slot, random)
		if p == nil {
			pause(ctx, 20*time.Millisecond)
			continue
		}
		trying, done := context.WithTimeout(ctx, tryTimeout)
		answer, err := call(trying, s.network, clients, host(p.id), func(late context.Context) (history.Answer, error) {
			bounded, cancel := context.WithTimeout(late, tryTimeout)
			defer cancel()
			return p.serve(bounded, slot, o)
		})
		done()
		switch {
		case !p.alive() && (err == nil || !refused(err)):
			s.end(o, nil)
			return nil
		case err == nil:
			s.end(o, &answer)
			return &answer
		case !refused(err):
			s.end(o, nil)
			return nil
		}
		pause(ctx, 10*time.Millisecond)
	}
	s.history.refused(o)
	s.judge.count(func(c *counts) { c.Refused++ })
	return nil
}

func (s *stage) end(o history.Operation, answer *history.Answer) {
	if answer == nil && o.Kind == history.Get {
		s.history.refused(o)
		return
	}
	s.history.ended(o, answer)
	s.judge.count(func(c *counts) {
		switch {
		case answer == nil:
			c.Unknown++
		case o.Kind == history.Get:
			c.Read++
		}
	})
}

// ownerOf is the process that one member of the control plane names, or now and then any other.
func (s *stage) ownerOf(slot api.Slot, random *rand.Rand) *process {
	if random != nil && random.IntN(20) == 0 {
		return s.nodes[random.IntN(len(s.nodes))].process()
	}
	owner := s.council.newest().SlotConfig(slot).Primary
	for _, n := range s.nodes {
		if n.id == owner {
			return n.process()
		}
	}
	return nil
}

// refusals are answers after which nothing was done.
var refusals = map[api.Code]bool{
	api.CodeNotOwner: true, api.CodeSlotMoving: true, api.CodeNotConfirmed: true, api.CodeTooFewInSync: true, api.CodeStorageFull: true,
}

func refused(err error) bool { return refusals[api.CodeOf(err)] || errors.Is(err, errRefused) }

var errDiffers = errors.New("the key holds something else")

// serve is what a service does with a request.
func (p *process) serve(ctx context.Context, slot api.Slot, o history.Operation) (answer history.Answer, err error) {
	if !p.alive() {
		return answer, errRefused
	}
	if p.engine.Where(slot).Place == replication.PlaceElsewhere {
		return answer, api.NewProblem(api.CodeNotOwner, "node %s does not hold slot %d", p.id, slot)
	}
	if o.Kind == history.Get {
		err = p.engine.Read(ctx, slot, func() error { answer.Value = p.entries.get(slot, o.Key); return nil }, false)
		return answer, err
	}
	applied, err := p.engine.Update(ctx, slot, []byte(o.Key), func() ([]byte, error) { return p.propose(slot, o, &answer) })
	switch {
	case errors.Is(err, errDiffers):
		return history.Answer{}, nil
	case err != nil:
		return answer, err
	}
	if applied != nil {
		p.acknowledge(slot, ownership.Seq(applied.(uint64)))
	}
	return answer, nil
}

func (p *process) propose(slot api.Slot, o history.Operation, answer *history.Answer) ([]byte, error) {
	held := p.entries.get(slot, o.Key)
	switch o.Kind {
	case history.Swap:
		if held != o.Expect {
			return nil, errDiffers
		}
		answer.Held = true
	case history.Delete:
		if held == "" {
			return nil, errDiffers
		}
		answer.Held = true
	}
	return json.Marshal(change{Key: o.Key, Value: o.Value, Fill: strings.Repeat("x", o.ID%7*200)})
}

// acknowledge has the judge look for a record that a client is about to be told of.
func (p *process) acknowledge(slot api.Slot, seq ownership.Seq) {
	digest, found := p.log.find(slot, seq)
	if !p.alive() {
		return
	}
	if !found {
		p.judge.fault("3: %s acknowledged record %d of slot %d, which is not durable there", p.id, seq, slot)
		return
	}
	p.judge.acknowledged(slot, ackedRecord{seq, digest}, p.stage.store)
}

func laneKey(lane, n int) string { return fmt.Sprintf("k%d-%d", lane, n) }
