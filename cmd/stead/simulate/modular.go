package simulate

// modular is hash mod n, what most people begin with. Of n nodes and one more, a key stays where it is
// only if its hash leaves the same remainder for both: about one in n+1 does.
type modular struct{ seats []int32 }

func newModular(nodes []node) modular { return modular{seats: seats(nodes)} }

func (m modular) locate(hashes []uint64, holders []int32) {
	count := uint64(len(m.seats))
	for i, hash := range hashes {
		holders[i] = m.seats[hash%count]
	}
}

// jump is jump consistent hash (Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm",
// 2014): no table, perfect movement, but nodes are numbered and only the last one can go.
type jump struct{ seats []int32 }

func newJump(nodes []node) jump { return jump{seats: seats(nodes)} }

func (j jump) locate(hashes []uint64, holders []int32) {
	for i, hash := range hashes {
		holders[i] = j.seats[jumpTo(hash, len(j.seats))]
	}
}

// jumpTo follows the key through the counts of buckets at which it moves; the last one within reach is
// its bucket.
func jumpTo(key uint64, buckets int) int {
	bucket, next := int64(-1), int64(0)
	for next < int64(buckets) {
		bucket = next
		key = key*2862933555777941757 + 1
		next = int64(float64(bucket+1) * (float64(1<<31) / float64(key>>33+1)))
	}
	return int(bucket)
}
