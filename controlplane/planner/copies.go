package planner

import (
	"fmt"
	"strings"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/controlplane/fsm"
)

// FewerCopies says of what lies between two states of a cluster which slots it leaves with fewer copies than they had
// and the settings want: it took nodes away, and those that remain are too few. "": none.
func FewerCopies(before, after *fsm.State) string {
	was, is := current(before), current(after)
	if len(was.Owners) != len(is.Owners) || was.Replicas != is.Replicas {
		return "" // a snapshot was restored in between
	}
	var left [api.ReplicasMax]int // slots by how many copies they are left with
	for slot := range is.Epochs {
		had, has := copies(was, ring.Slot(slot)), copies(is, ring.Slot(slot))
		if has < had {
			left[has]++
		}
	}
	return describeFewer(left[:is.Replicas], is.Replicas, after.Settings.MinInSync)
}

// copies counts the nodes that hold a slot.
func copies(table *ring.Table, slot ring.Slot) (count int) {
	for _, index := range table.ReplicasOf(slot) {
		if index != ring.NoNode {
			count++
		}
	}
	return count
}

// describeFewer tells people of slots by how many copies they are left with. Of those without any there is other word.
func describeFewer(left []int, wanted, minInSync int) string {
	var parts []string
	writable := true
	for count := 1; count < len(left); count++ {
		if left[count] == 0 {
			continue
		}
		copies := "one copy"
		if count > 1 {
			copies = fmt.Sprintf("%d copies", count)
		}
		parts = append(parts, fmt.Sprintf("%d slots are left with %s", left[count], copies))
		writable = writable && count >= minInSync
	}
	if len(parts) == 0 {
		return ""
	}
	text := fmt.Sprintf("%s, not %d: too few nodes remain to hold them", strings.Join(parts, ", "), wanted)
	if !writable {
		text += fmt.Sprintf("; writes are refused to slots with fewer than %d (min_in_sync)", minInSync)
	}
	return text
}
