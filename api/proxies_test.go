package api

import (
	"encoding/json"
	"fmt"
	"testing"
)

func TestTrimTroubles(t *testing.T) {
	f := func(sent []NodeTrouble, want string) {
		t.Helper()
		if got := fmt.Sprint(TrimTroubles(sent)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	f(nil, "[]")
	f([]NodeTrouble{{Node: "n1", Connects: 1}, {Node: "a b", Connects: 1}, {Node: "n2"}, {Node: "n3", GivenUp: true}}, "[{n1 1 0 0 false} {n3 0 0 0 true}]")
	many := make([]NodeTrouble, 2*TroublesMax)
	for i := range many {
		many[i] = NodeTrouble{Node: NodeID(fmt.Sprint("n", i)), Breaks: 1}
	}
	if got := TrimTroubles(many); len(got) != TroublesMax || got[0].Node != "n0" {
		t.Errorf("%d are left", len(got))
	}
}

// TestTroublesOnTheWire: a proxy without troubles sends what those before it did, and who knows no troubles reads its beat.
func TestTroublesOnTheWire(t *testing.T) {
	quiet, err := json.Marshal(ProxyBeat{Address: "h:1"})
	if want := `{"address":"h:1","version":{"generation":0,"number":0}}`; err != nil || string(quiet) != want {
		t.Errorf("it sends %s, %v; want %s", quiet, err, want)
	}
	loud, err := json.Marshal(ProxyBeat{Address: "h:1", Leaving: true, Troubles: []NodeTrouble{{Node: "n1", Timeouts: 2}}})
	if err != nil {
		t.Fatal(err)
	}
	var before struct {
		Address string
		Leaving bool
	}
	if err := json.Unmarshal(loud, &before); err != nil || before.Address != "h:1" || !before.Leaving {
		t.Errorf("%s reads as %+v, %v", loud, before, err)
	}
}
