package fsm

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
)

// keyed applies a command as a client sends it that repeats itself until it is answered.
func (h *history) keyed(origin Origin, command Command) Result {
	h.t.Helper()
	h.clock += 10
	entry, err := Encode(Header{Time: h.clock, Origin: origin}, command)
	if err != nil {
		h.t.Fatal(err)
	}
	next, result, err := Apply(h.state, h.state.Index+1, entry)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := next.Check(); err != nil {
		h.t.Fatal(err)
	}
	h.state = next
	return result
}

func TestKeyedCommandsAreCarriedOutOnce(t *testing.T) {
	h := newHistory(t)
	ask := Origin{Actor: "test", Key: "k1", Request: "register n1"}
	first := h.keyed(ask, Register{node("n1", 1)})
	if first.Problem != nil || first.Replayed || !first.Created {
		t.Fatalf("got %+v", first)
	}
	h.must(Drain{Node: "n1", On: true})
	version, change := h.state.Version(), h.state.NewestChange()
	again := h.keyed(ask, Register{node("n1", 1)})
	if !again.Replayed || again.Change != first.Change || again.Version != first.Version || !again.Created || again.Node == nil {
		t.Fatalf("the repetition answered %+v, the first %+v", again, first)
	}
	if h.state.Version() != version || h.state.NewestChange() != change {
		t.Fatal("the repetition changed the state")
	}
	ask.Request = "register n2"
	if other := h.keyed(ask, Register{node("n2", 2)}); other.Problem == nil || other.Problem.Code != api.CodeKeyReused {
		t.Fatalf("another request under the key: %+v", other)
	}
	restored, err := DecodeState(bytes.NewReader(encode(t, h.state)))
	if err != nil {
		t.Fatal(err)
	}
	h.state = restored
	ask.Request = "register n1"
	if again := h.keyed(ask, Register{node("n1", 1)}); !again.Replayed {
		t.Fatal("a snapshot forgot the result")
	}
}

func TestRefusedCommandsMayBeTriedAgain(t *testing.T) {
	h := newHistory(t)
	ask := Origin{Actor: "test", Key: "k1", Request: "drain n1"}
	if refused := h.keyed(ask, Drain{Node: "n1", On: true}); refused.Problem == nil {
		t.Fatal("drained a node that is not there")
	}
	h.must(Register{node("n1", 1)})
	if done := h.keyed(ask, Drain{Node: "n1", On: true}); done.Problem != nil || done.Replayed {
		t.Fatalf("got %+v", done)
	}
}

func TestResultsExpire(t *testing.T) {
	h := newHistory(t)
	nothing := Member{ID: "c1-0011223344556677", Name: "c1"}
	ask := func(i int) Origin { return Origin{Actor: "test", Key: fmt.Sprint(i), Request: "r"} }
	for i := range resultsKept + 5 {
		h.keyed(ask(i), nothing)
	}
	if kept := len(h.state.results.items); kept > resultsKept+1 {
		t.Fatalf("%d results are kept", kept)
	}
	if again := h.keyed(ask(0), nothing); again.Replayed {
		t.Fatal("the oldest is still there")
	}
	h.clock += resultsKeptFor.Milliseconds() + time.Minute.Milliseconds()
	h.must(nothing)
	if kept := len(h.state.results.items); kept != 0 {
		t.Fatalf("%d results outlived a day", kept)
	}
}

func TestCommandsAreRefusedPastTheirBase(t *testing.T) {
	h := newHistory(t)
	h.must(Register{node("n1", 1)})
	base := h.state.NewestChange()
	h.must(Register{node("n2", 2)})
	stale := h.keyed(Origin{Actor: "test", Base: base}, Drain{Node: "n1", On: true})
	if stale.Problem == nil || stale.Problem.Code != api.CodePrecondition {
		t.Fatalf("got %+v", stale)
	}
	if fresh := h.keyed(Origin{Actor: "test", Base: h.state.NewestChange()}, Drain{Node: "n1", On: true}); fresh.Problem != nil {
		t.Fatal(fresh.Problem)
	}
}

func TestLevels(t *testing.T) {
	if level := LevelOf(By("test"), Drain{}); level != 1 {
		t.Errorf("a plain drain needs level %d", level)
	}
	if level := LevelOf(Origin{Key: "k"}, Drain{}); level != 2 {
		t.Errorf("a keyed drain needs level %d", level)
	}
	if level := LevelOf(Origin{Base: 1}, Drain{}); level != 2 {
		t.Errorf("a drain with a base needs level %d", level)
	}
	h := newHistory(t)
	h.must(Register{node("n1", 1)})
	if change, _ := h.state.Change(h.state.NewestChange()); change.Updated != 0 {
		t.Error("level 1 dates changes, which its older members do not")
	}
	h.must(Level{Level: 2})
	h.must(Drain{Node: "n1", On: true})
	if change, _ := h.state.Change(h.state.NewestChange()); change.Updated != h.state.Index {
		t.Errorf("level 2 dates the change %d, the log stands at %d", change.Updated, h.state.Index)
	}
	entry, err := Encode(At(time.UnixMilli(h.clock), By("test")), Level{Level: LevelSupported + 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Apply(h.state, h.state.Index+1, entry); err == nil {
		t.Error("went on past a level it does not support")
	}
}

// TestClockJumps: the state's clock never runs backwards, whatever the clocks of successive leaders say,
// and nothing but keyed results goes by it.
func TestClockJumps(t *testing.T) {
	h := newHistory(t)
	h.must(Register{node("n1", 1)})
	year := (365 * 24 * time.Hour).Milliseconds()
	for _, jump := range []int64{-year, +year, -2 * year, 0} {
		before := h.state
		h.clock += jump
		weight := int(2 + before.Index%7)
		h.must(Patch{Node: "n1", Patch: api.NodePatch{Weight: &weight}})
		if h.state.Clock < before.Clock {
			t.Fatalf("a jump of %d ms took the clock from %d to %d", jump, before.Clock, h.state.Clock)
		}
		newest, _ := h.state.Change(h.state.NewestChange())
		if newest.Time < before.Clock {
			t.Fatalf("change %d happened before the one it follows", newest.ID)
		}
	}
	if len(h.state.Nodes()) != 1 {
		t.Fatal("a node went with the time")
	}
}
