//go:build chaos

package chaos

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/stead-io/stead/api"
)

// mover keeps slots moving: it changes weights, drains a node and takes it back, and has the ring rebalanced, at
// random.
type mover struct {
	lab     *Lab
	counts  *counts
	random  *rand.Rand
	drained api.NodeID // the one node that is, if any
}

// Times between two things a mover does.
const (
	moveMin = 500 * time.Millisecond
	moveMax = 2500 * time.Millisecond
)

// Weights of nodes.
const (
	weightMin = 50
	weightMax = 200
)

func newMover(lab *Lab, counts *counts) *mover {
	return &mover{lab: lab, counts: counts, random: rand.New(rand.NewPCG(lab.config.Seed, 2))}
}

// run moves until the context ends. What cannot be asked for now, because of a fault, is not asked for again.
func (m *mover) run(ctx context.Context) {
	for ctx.Err() == nil {
		within, cancel := context.WithTimeout(ctx, requestTimeout)
		if m.once(within) == nil {
			m.counts.do(func(t *Tally) { t.Asked++ })
		}
		cancel()
		last(ctx, moveMin+time.Duration(m.random.Int64N(int64(moveMax-moveMin))))
	}
}

func (m *mover) once(ctx context.Context) error {
	node := api.NodeID(m.lab.fleet.Nodes[m.random.IntN(len(m.lab.fleet.Nodes))])
	switch dice := m.random.IntN(10); {
	case dice < 3 && m.drained == "":
		_, err := m.lab.client.Drain(ctx, node)
		m.drained = node // perhaps: then undraining it does no harm
		return err
	case dice < 3:
		_, err := m.lab.client.Undrain(ctx, m.drained)
		if err == nil {
			m.drained = ""
		}
		return err
	case dice < 4:
		_, err := m.lab.client.Rebalance(ctx)
		return err
	default:
		weight := weightMin + m.random.IntN(weightMax-weightMin)
		_, err := m.lab.client.PatchNode(ctx, node, api.NodePatch{Weight: &weight})
		return err
	}
}

// undrainAll has every node hold slots again, whoever drained it.
func (m *mover) undrainAll(ctx context.Context) error {
	for _, name := range m.lab.fleet.Nodes {
		err := await(ctx, name+" to be undrained", func(ctx context.Context) bool {
			within, cancel := context.WithTimeout(ctx, requestTimeout)
			defer cancel()
			_, err := m.lab.client.Undrain(within, api.NodeID(name))
			return err == nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
