package fsm

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"

	"github.com/stead-io/stead/api"
)

// newDated is a history at the level that dates changes.
func newDated(t testing.TB) *history {
	h := newHistory(t)
	h.must(Level{Level: EventsLevel})
	return h
}

func (h *history) events(after api.EventID) (ids []string) {
	for _, change := range h.state.Events(after) {
		ids = append(ids, h.state.EventID(change).String()+" "+string(change.Status))
	}
	return ids
}

func TestEventsComeInTheOrderOfTheLog(t *testing.T) {
	h := newDated(t)
	began := h.state.Now()
	if got := h.events(began); got != nil {
		t.Fatalf("at the present there is nothing new, got %v", got)
	}
	h.must(Register{node("n1", 1)}) // change 2, pending
	h.must(Register{node("n2", 2)}) // change 3, pending
	first := h.state.Index
	at := func(index uint64, change int, status string) string {
		return fmt.Sprintf("1-%d-%d %s", index, change, status)
	}
	if got, want := h.events(began), []string{at(first-1, 2, "pending"), at(first, 3, "pending")}; !reflect.DeepEqual(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	h.spread("n1", "n2")
	settled := h.state.Index
	want := []string{at(settled, 2, "done"), at(settled, 3, "done")}
	if got := h.events(began); !reflect.DeepEqual(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	halfway := api.EventID{Generation: 1, Index: settled, Change: 2}
	if got := h.events(halfway); !reflect.DeepEqual(got, want[1:]) {
		t.Fatalf("behind %s: got %v, want %v", halfway, got, want[1:])
	}
	if got := h.events(api.EventID{Generation: 1, Index: settled}); got != nil {
		t.Fatalf("behind all of it: got %v", got)
	}
}

func TestEventsBeyondHistoryAreSaidToBeGone(t *testing.T) {
	h := newDated(t)
	move := func(i int) { // a change that waits for nobody, so that it may be forgotten
		moved := node("n1", 10+i%2)
		moved.Nonce = "nonce"
		h.must(Register{moved})
	}
	move(1)
	h.must(Register{node("n2", 2)})
	h.spread("n1", "n2")
	point := h.state.Now()
	for i := range changesKept {
		move(i)
		if gone := h.state.EventsGone(point); gone {
			t.Fatalf("after %d changes something behind %s is gone", i+1, point)
		}
	}
	move(changesKept)
	if gone := h.state.EventsGone(point); !gone {
		t.Fatal("the first change behind the point is not kept, and nobody says so")
	}
	point.Generation++
	if gone := h.state.EventsGone(point); !gone {
		t.Fatal("a point of another generation is no point of this one")
	}
	restored, err := DecodeState(bytes.NewReader(encode(t, h.state)))
	if err != nil || restored.forgotten != h.state.forgotten {
		t.Fatalf("a snapshot kept %d of %d, %v", restored.forgotten, h.state.forgotten, err)
	}
}

func TestChangesOfLevelOneAreNoEvents(t *testing.T) {
	h := newHistory(t)
	h.must(Register{node("n1", 1)})
	if got := h.events(api.EventID{Generation: 1}); got != nil {
		t.Fatalf("got %v", got)
	}
}

func TestDeliveriesOnlyMoveForward(t *testing.T) {
	h := newDated(t)
	version, change := h.state.Version(), h.state.NewestChange()
	f := func(webhook string, index, want uint64) {
		t.Helper()
		h.must(Delivered{Webhook: webhook, Index: index})
		if got, known := h.state.Delivery(webhook); !known || got != want {
			t.Errorf("%s stands at %d, want %d", webhook, got, want)
		}
	}
	f("a", 0, 0)
	f("a", 2, 2)
	f("a", 1, 2)
	f("b", 1, 1)
	if _, known := h.state.Delivery("c"); known {
		t.Error("c was never served")
	}
	if h.apply(Delivered{Webhook: "a", Index: h.state.Index + 9}).Problem == nil || h.apply(Delivered{Index: 1}).Problem == nil {
		t.Error("a place beyond the log, or without a name, was taken")
	}
	for i := range deliveriesKept {
		h.must(Delivered{Webhook: fmt.Sprintf("w%d", i), Index: 3})
	}
	if _, known := h.state.Delivery("b"); known || len(h.state.deliveries) != deliveriesKept {
		t.Errorf("%d are kept, the furthest behind among them: %v", len(h.state.deliveries), known)
	}
	if h.state.Version() != version || h.state.NewestChange() != change {
		t.Error("a delivery touched the ring or history")
	}
	restored, err := DecodeState(bytes.NewReader(encode(t, h.state)))
	if err != nil || !reflect.DeepEqual(restored.deliveries, h.state.deliveries) {
		t.Errorf("a snapshot holds %+v, %v", restored.deliveries, err)
	}
}
