package simulate

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// node is a simulated node. Ids count from 0; those that come have the last ones.
type node struct {
	id, weight int
}

// name is what a node is hashed by.
func (n node) name() string { return fmt.Sprintf("node-%d", n.id) }

func weightOf(nodes []node) int {
	sum := 0
	for _, node := range nodes {
		sum += node.weight
	}
	return sum
}

// nodes lists the nodes before and after the change. Which ones go is drawn by the seed.
func (c Config) nodes() (before, after []node) {
	for id := range c.Nodes + c.Add {
		weight := 1
		if id < len(c.Weights) {
			weight = c.Weights[id]
		}
		after = append(after, node{id: id, weight: weight})
	}
	before = slices.Clone(after[:c.Nodes])
	random := c.Seed
	for left := range c.Remove {
		gone := int(draw(&random) % uint64(c.Nodes-left))
		after = slices.Delete(after, gone, gone+1)
	}
	return before, after
}

// hasher is SipHash as Stead uses it, keyed by the seed.
func (c Config) hasher() ring.Hasher {
	random := c.Seed
	var key [16]byte
	binary.BigEndian.PutUint64(key[:8], draw(&random))
	binary.BigEndian.PutUint64(key[8:], draw(&random))
	hasher, err := ring.NewHasher(api.Settings{Hash: api.HashSipHash24, HashKey: hex.EncodeToString(key[:])})
	if err != nil {
		panic("a name and a key that were just made: " + err.Error())
	}
	return hasher
}

// draw steps SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators",
// 2014).
func draw(state *uint64) uint64 {
	*state += 0x9e3779b97f4a7c15
	return mix(*state)
}

// mix is SplitMix64's finalizer: each bit of x decides about half of the result's.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
