package kv

import (
	"hash/maphash"
	"sync"
)

// lockStripes is how many places can be written at once without waiting for each other by chance: a
// writer holds its stripe for as long as a sync takes.
const lockStripes = 4096

// placeLocks serializes what is done at a place. Readers wait for a writer too: what it wrote is
// visible in the engine before it is safe on disk.
type placeLocks struct {
	seed    maphash.Seed
	stripes [lockStripes]sync.RWMutex
}

func newPlaceLocks() *placeLocks { return &placeLocks{seed: maphash.MakeSeed()} }

func (l *placeLocks) of(at Place) *sync.RWMutex {
	return &l.stripes[maphash.Bytes(l.seed, appendPlace(nil, at))%lockStripes]
}
