package fsm

import (
	"slices"
	"testing"

	"github.com/stead-io/stead/api"
)

// TestKeysNeedTheirLevel: rules that older members refuse are refused as long as there may be any.
func TestKeysNeedTheirLevel(t *testing.T) {
	settings := testSettings()
	settings.Keys = []string{"json:/user/id"}
	h := &history{t: t, state: New()}
	if problem := h.apply(Bootstrap{Cluster: testCluster, Settings: settings, Level: 3}).Problem; problem == nil || problem.Code != api.CodeUnsupported {
		t.Errorf("got %v", problem)
	}
	h.must(Bootstrap{Cluster: testCluster, Settings: settings, Level: KeysLevel})

	h = newHistory(t)
	h.must(Level{Level: KeysLevel - 1})
	h.refuse(api.CodeUnsupported, Settings{Keys: []string{"cookie:sid"}})
	h.refuse(api.CodeUnsupported, Settings{NoKey: api.NoKeySticky})
	h.must(Settings{NoKey: api.NoKeyAny})
	h.must(Level{Level: KeysLevel})
	h.must(Settings{Keys: []string{"cookie:sid", "host:{key}.example.com"}, NoKey: api.NoKeySticky})
	if got := h.state.Settings; !slices.Equal(got.Keys, []string{"cookie:sid", "host:{key}.example.com"}) || got.NoKey != api.NoKeySticky {
		t.Errorf("the settings are %+v", got)
	}
	h.refuse(api.CodeInvalid, Settings{Keys: []string{"cookie:a b"}})
	h.refuse(api.CodeInvalid, Settings{NoKey: "nearest"})
}

// TestGivenKeysAreGuarded: once clients were given keys, their state is not left behind unasked.
func TestGivenKeysAreGuarded(t *testing.T) {
	h := newHistory(t)
	h.must(Level{Level: KeysLevel})
	h.must(Register{node("n1", 1)})
	h.spread("n1")
	h.must(Settings{NoKey: api.NoKeySticky})
	problem := h.apply(Settings{NoKey: api.NoKeyReject}).Problem
	if problem == nil || problem.Code != api.CodeSettingGuarded || problem.Field != "no_key" {
		t.Errorf("got %v", problem)
	}
	change, gone := h.state.Change(h.must(Settings{NoKey: api.NoKeyReject, Force: true}).Change)
	if gone != nil || !change.Lossy {
		t.Errorf("the change is %+v, %v", change, gone)
	}
	change, gone = h.state.Change(h.must(Settings{NoKey: api.NoKeyAny}).Change)
	if gone != nil || change.Lossy {
		t.Errorf("the change is %+v, %v", change, gone)
	}
}
