package simulate

import (
	"fmt"
	"sort"

	"github.com/stead-io/stead/api/ring"
)

// pointsPerNode is how many places a node of mean weight has on the circle, as in libketama. The mean
// is one for both rings, before and after: points that stay are what keeps keys where they are.
const pointsPerNode = 160

// virtualRing is consistent hashing with virtual nodes: a key belongs to the first point at or after
// its hash (Karger et al., "Consistent Hashing and Random Trees", 1997; with many points a node as in
// Chord, 2001, and libketama, 2007). Movement is near the minimum, evenness comes with the number of
// points alone.
type virtualRing struct {
	points  []uint64
	holders []int32 // of the points
}

func newVirtualRing(hasher ring.Hasher, nodes []node, weightMean float64) *virtualRing {
	r := &virtualRing{}
	for _, node := range nodes {
		for point := range max(1, int(pointsPerNode*float64(node.weight)/weightMean)) {
			r.points = append(r.points, hasher.Hash(fmt.Appendf(nil, "%s-%d", node.name(), point)))
			r.holders = append(r.holders, int32(node.id))
		}
	}
	sort.Sort(r)
	return r
}

func (r *virtualRing) Len() int           { return len(r.points) }
func (r *virtualRing) Less(i, j int) bool { return r.points[i] < r.points[j] }
func (r *virtualRing) Swap(i, j int) {
	r.points[i], r.points[j] = r.points[j], r.points[i]
	r.holders[i], r.holders[j] = r.holders[j], r.holders[i]
}

func (r *virtualRing) locate(hashes []uint64, holders []int32) {
	for i, hash := range hashes {
		low, high := 0, len(r.points)
		for low < high {
			middle := int(uint(low+high) / 2)
			if r.points[middle] < hash {
				low = middle + 1
			} else {
				high = middle
			}
		}
		if low == len(r.points) {
			low = 0
		}
		holders[i] = r.holders[low]
	}
}
