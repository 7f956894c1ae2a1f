package ring_test

import (
	"fmt"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// crowded is a ring of n nodes in as many zones, assigned.
func crowded(tb testing.TB, n, zones int, k ring.Bits, replicas int) (*ring.Table, []ring.Candidate) {
	tb.Helper()
	table := ring.NewTable("0123456789abcdef0123456789abcdef", k, replicas)
	table.Version = api.Version{Generation: 1, Number: 1}
	var candidates []ring.Candidate
	for i := range n {
		node := ring.Node{ID: api.NodeID(fmt.Sprintf("node-%04d", i)), Status: ring.StatusUp}
		node.Address = fmt.Sprintf("10.0.%d.%d:7500", i/250, i%250)
		table.Nodes = append(table.Nodes, node)
		candidate := ring.Candidate{Index: ring.NodeIndex(i), ID: node.ID, Weight: 1 + i%4}
		if zones > 0 {
			candidate.Zone = fmt.Sprint("zone-", i%zones)
		}
		candidates = append(candidates, candidate)
	}
	table.Owners = ring.Assign(table.Owners, replicas, candidates).Want
	return table, candidates
}

var sink int

func BenchmarkLookup(b *testing.B) {
	table, _ := crowded(b, 100, 0, 14, 2)
	view := viewOf(b, table)
	b.Run("hash", func(b *testing.B) {
		b.ReportAllocs()
		hash := uint64(0x9e3779b97f4a7c15)
		for b.Loop() {
			sink += int(table.Primary(table.Bits.Of(hash)))
			hash += 0x9e3779b97f4a7c15
		}
	})
	for _, length := range []int{16, 64} {
		keys := manyKeys(length)
		b.Run(fmt.Sprintf("key%d", length), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				sink += int(table.Primary(view.Slot(keys[i%len(keys)])))
			}
		})
		b.Run(fmt.Sprintf("locate%d", length), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				_, _, node, _ := view.Locate(keys[i%len(keys)])
				sink += len(node.Address)
			}
		})
	}
}

// manyKeys makes keys that are not written while they are read.
func manyKeys(length int) (keys [1024][]byte) {
	for i := range keys {
		keys[i] = make([]byte, length)
		keys[i][0], keys[i][1] = byte(i), byte(i>>8)
	}
	return keys
}

func BenchmarkAssign(b *testing.B) {
	for _, zones := range []int{0, 3} {
		table, candidates := crowded(b, 1000, zones, 14, 3)
		before := ring.Assign(table.Owners, 3, candidates[:999]).Want
		vacant := ring.NewTable(table.Cluster, 14, 3).Owners
		f := func(name string, current []ring.NodeIndex, candidates []ring.Candidate) {
			b.Run(fmt.Sprintf("zones=%d/%s", zones, name), func(b *testing.B) {
				var got ring.Assignment
				for b.Loop() {
					got = ring.Assign(current, 3, candidates)
				}
				b.ReportMetric(float64(got.Moved), "moved")
				b.ReportMetric(float64(got.Moved-got.Minimum), "over")
			})
		}
		f("fresh", vacant, candidates)
		f("add1", before, candidates)
		f("remove1", table.Owners, candidates[1:])
		f("remove100", table.Owners, candidates[100:])
		f("same", table.Owners, candidates)
	}
}

func BenchmarkTable(b *testing.B) {
	from, candidates := crowded(b, 1000, 0, 14, 3)
	to := from.Clone()
	to.Version.Number, to.Previous = 2, 1
	to.Owners = ring.Assign(from.Owners, 3, candidates[1:]).Want
	raw, view, delta := from.AppendBinary(nil), viewOf(b, from), ring.Between(from, to)
	frame, wire := view.Encode(), delta.Wire(nil)
	f := func(name string, step func()) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				step()
			}
		})
	}
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	f("encode", func() { sink += len(from.AppendBinary(raw[:0])) })
	f("digest", func() { from.Digest() })
	f("decode", func() { _, err := ring.DecodeTable(raw); must(err) })
	f("decode-view", func() { _, err := ring.DecodeView(frame); must(err) })
	f("between", func() { ring.Between(from, to) })
	f("apply", func() { _, err := delta.Apply(from); must(err) })
	f("apply-wire", func() { _, err := view.Apply(wire); must(err) })
	f("diff", func() { ring.Diff(from, to) })
}

// BenchmarkAssignMany is the first plan of many small nodes.
func BenchmarkAssignMany(b *testing.B) {
	for b.Loop() {
		crowded(b, 10_000, 0, 14, 1)
	}
}
