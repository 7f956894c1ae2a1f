package httpapi

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/fsm"
)

// TestAlarmsOutlastHistory: a node that is held stays an alarm when history has forgotten why.
func TestAlarmsOutlastHistory(t *testing.T) {
	state := fsm.New()
	apply := func(command fsm.Command) fsm.Result {
		t.Helper()
		entry, err := fsm.Encode(fsm.Header{Origin: fsm.By("test")}, command)
		if err != nil {
			t.Fatal(err)
		}
		next, result, err := fsm.Apply(state, state.Index+1, entry)
		if err != nil || result.Problem != nil {
			t.Fatal(err, result.Problem)
		}
		state = next
		return result
	}
	const key = "0123456789abcdef0123456789abcdef"
	apply(fsm.Bootstrap{Cluster: key, Settings: api.Settings{
		Service: "kv", State: api.StateNone, Keys: []string{"query:k"}, NoKey: api.NoKeyReject,
		SlotBits: 8, Replicas: 1, Hash: api.HashSipHash24, HashKey: key,
	}})
	node := apply(fsm.Register{Registration: api.Registration{ID: "n1", Address: "127.0.0.1:80", OnDown: api.OnDownReset}}).Node
	apply(fsm.Status{Transitions: []fsm.Transition{{Node: "n1", Session: node.Session, Status: api.NodeDown}}})
	apply(fsm.Hold{Changes: []api.ChangeID{state.NewestChange()}})
	expect := func(want string) {
		t.Helper()
		if got := alarms(state); len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	expect(fmt.Sprintf("change %d (expire n1) is held", state.NewestChange()))
	for i := range 1100 {
		apply(fsm.Register{Registration: api.Registration{ID: "n2", Address: fmt.Sprintf("127.0.0.1:%d", 1000+i%2), StoreID: "0123456789abcdef0123456789abcdef", Boot: uint64(i + 1)}})
	}
	expect("node n1 is held")
}
