package fsm

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/stead-io/stead/api"
)

func TestMembersAreAskedForAndForgotten(t *testing.T) {
	h := newHistory(t)
	h.must(Level{Level: 2})
	h.must(Member{ID: "c1-a", Name: "c1"})
	h.must(Member{ID: "c2-a", Name: "c2"})
	h.must(Enlist{Name: "c4", On: true})
	h.must(Enlist{Name: "c4", On: true}) // the same again
	h.refuse(api.CodeInvalid, Enlist{Name: "not a name", On: true})
	h.refuse(api.CodeMemberNameKnown, Enlist{Name: "c2", On: true})
	h.refuse(api.CodeMemberNameKnown, Enlist{Name: "c2", Replaces: "c1-a", On: true})
	h.refuse(api.CodeMemberBusy, Enlist{Name: "c4", Replaces: "c1-a", On: true})
	h.must(Enlist{Name: "c2", Replaces: "c2-a", On: true})
	h.refuse(api.CodeMemberBusy, Enlist{Name: "c5", Replaces: "c2-a", On: true})
	if want := []Enlisted{{Name: "c4"}, {Name: "c2", Replaces: "c2-a"}}; !reflect.DeepEqual(h.state.Enlisted, want) {
		t.Fatalf("got %+v", h.state.Enlisted)
	}
	restored, err := DecodeState(bytes.NewReader(encode(t, h.state)))
	if err != nil || !reflect.DeepEqual(restored.Enlisted, h.state.Enlisted) {
		t.Fatalf("from a snapshot: %+v, %v", restored, err)
	}
	h.refuse(api.CodeMemberNameKnown, Member{ID: "c2-b", Name: "c2"})
	h.must(Forget{ID: "c2-a"})
	h.must(Member{ID: "c2-b", Name: "c2"})
	h.must(Enlist{Name: "c2"})
	h.must(Enlist{Name: "c2"}) // withdrawn already
	for _, name := range []string{"d1", "d2", "d3", "d4", "d5", "d6"} {
		h.must(Enlist{Name: name, On: true})
	}
	h.refuse(api.CodeMembersFull, Enlist{Name: "d7", On: true})
}
