package slotlog

import (
	"slices"
	"sort"

	"github.com/stead-io/stead/api/ownership"
)

// markStep is how many bytes of records lie between two marks, at least.
const markStep = 64 << 10

// extent is where the log of a slot begins and ends, all queued writes included, and about how long it is.
//
// Octets of records are counted from the last reset on; marks say up to which count some of the records
// reached. In between, records are taken to be equally long: that is all that Size promises.
type extent struct {
	base        ownership.Seq
	first, last ownership.Seq // first = last+1 if there are no records
	gone        mark          // up to which records were removed; those behind it and before first are yet to be
	marks       []mark        // ascending; the first is of the record before first, or an earlier one
	written     uint64        // ticket of the last write
}

// mark says how many octets the records up to and including seq have.
type mark struct {
	seq   ownership.Seq
	total uint64
}

func newExtent(base ownership.Seq) *extent {
	e := new(extent)
	e.reset(base)
	return e
}

// loadedExtent is the extent of a log found at the start; before is the count ahead of the first record.
func loadedExtent(found Loaded, before, total uint64) *extent {
	start := mark{seq: found.First - 1, total: before}
	e := &extent{base: found.Base, first: found.First, last: found.Last, gone: start, marks: []mark{start}}
	if e.last >= e.first {
		e.marks = append(e.marks, mark{seq: e.last, total: total})
	}
	return e
}

// reset forgets all records.
func (e *extent) reset(base ownership.Seq) {
	start := mark{seq: base}
	*e = extent{base: base, first: base + 1, last: base, gone: start, marks: []mark{start}, written: e.written}
}

func (e *extent) empty() bool { return e.first > e.last }

// total is how many octets there are up to the last record.
func (e *extent) total() uint64 { return e.marks[len(e.marks)-1].total }

func (e *extent) size() int64 { return int64(e.total() - e.totalAt(e.first-1)) }

// totalAt is about how many octets there are up to seq.
func (e *extent) totalAt(seq ownership.Seq) uint64 {
	i := sort.Search(len(e.marks), func(i int) bool { return e.marks[i].seq >= seq })
	switch {
	case i == len(e.marks):
		return e.total()
	case i == 0 || e.marks[i].seq == seq:
		return e.marks[i].total
	}
	low, high := e.marks[i-1], e.marks[i]
	share := float64(seq-low.seq) / float64(high.seq-low.seq)
	return low.total + uint64(share*float64(high.total-low.total))
}

// append takes note of a record behind the last one. The last mark is always of the last record; it moves on
// with it until it is far enough from the one before.
func (e *extent) append(size int) {
	e.last++
	tip := mark{seq: e.last, total: e.total() + uint64(size)}
	if n := len(e.marks); n > 1 && e.marks[n-1].total-e.marks[n-2].total < markStep {
		e.marks[n-1] = tip
		return
	}
	e.marks = append(e.marks, tip)
}

// truncate forgets the records behind last.
func (e *extent) truncate(last ownership.Seq) {
	tip := mark{seq: last, total: e.totalAt(last)}
	e.first, e.last = min(e.first, last+1), last
	if e.gone.seq > last {
		e.gone = tip
	}
	e.marks = slices.DeleteFunc(e.marks, func(m mark) bool { return m.seq >= last })
	e.marks = append(e.marks, tip)
}

// trim forgets the records before first, which is one of them, and returns how much there is to remove by now.
func (e *extent) trim(first ownership.Seq) (size uint64) {
	before := mark{seq: first - 1, total: e.totalAt(first - 1)}
	e.first = first
	e.marks = slices.DeleteFunc(e.marks, func(m mark) bool { return m.seq < first })
	e.marks = slices.Insert(e.marks, 0, before)
	return before.total - min(before.total, e.gone.total) + uint64(before.seq-e.gone.seq)*writeSize
}

// removed says that all records before first were removed.
func (e *extent) removed() { e.gone = mark{seq: e.first - 1, total: e.totalAt(e.first - 1)} }

// rebase moves a log without records to where its meta says that they would begin.
func (e *extent) rebase(base ownership.Seq) {
	if e.base != base && e.empty() {
		e.reset(base)
	}
	e.base = base
}
