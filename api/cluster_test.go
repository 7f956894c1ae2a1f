package api_test

import (
	"encoding/json"
	"testing"

	"github.com/stead-io/stead/api"
)

func validSettings() api.Settings {
	return api.Settings{
		Service: "kv", State: api.StateNone, Keys: []string{"header:X-Shard-Key"}, NoKey: api.NoKeyReject,
		SlotBits: api.SlotBitsDefault, Replicas: 1, Hash: api.HashSipHash24, HashKey: "000102030405060708090a0b0c0d0e0f",
	}
}

func TestSettingsValidate(t *testing.T) {
	if problem := validSettings().Validate(); problem != nil {
		t.Fatal(problem)
	}
	f := func(field string, code api.Code, change func(*api.Settings)) {
		t.Helper()
		settings := validSettings()
		change(&settings)
		problem := settings.Validate()
		if problem == nil || problem.Field != field || problem.Code != code {
			t.Errorf("%s: got %v", field, problem)
		}
	}
	f("service", api.CodeInvalid, func(s *api.Settings) { s.Service = "" })
	f("state", api.CodeInvalid, func(s *api.Settings) { s.State = "liquid" })
	f("no_key", api.CodeInvalid, func(s *api.Settings) { s.NoKey = "random" })
	f("slot_bits", api.CodeInvalid, func(s *api.Settings) { s.SlotBits = 7 })
	f("slot_bits", api.CodeInvalid, func(s *api.Settings) { s.SlotBits = 17 })
	f("replicas", api.CodeInvalid, func(s *api.Settings) { s.Replicas = 0 })
	f("replicas", api.CodeInvalid, func(s *api.Settings) { s.Replicas = 4 })
	f("replicas", api.CodeInvalid, func(s *api.Settings) { s.Replicas = 2 })
	f("replicas", api.CodeInvalid, func(s *api.Settings) { s.State, s.Replicas = api.StateHooks, 2 })
	f("min_in_sync", api.CodeInvalid, func(s *api.Settings) { s.State, s.Replicas, s.MinInSync = api.StateManaged, 2, 3 })
	f("on_last_copy", api.CodeInvalid, func(s *api.Settings) { s.OnLastCopy = "shrug" })
	f("hash", api.CodeInvalid, func(s *api.Settings) { s.Hash = "xxh64" })
	f("hash_key", api.CodeInvalid, func(s *api.Settings) { s.HashKey = "secret" })
	f("keys", api.CodeInvalid, func(s *api.Settings) { s.Keys = nil })
	f("keys[0]", api.CodeInvalid, func(s *api.Settings) { s.Keys = []string{""} })
}

// TestSettingsEqual changes one field after the other, by its JSON name, so that none is forgotten.
func TestSettingsEqual(t *testing.T) {
	raw, err := json.Marshal(validSettings())
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	if other := validSettings(); !other.Equal(validSettings()) {
		t.Error("equal settings differ")
	}
	for name, value := range fields {
		switch value := value.(type) {
		case string:
			fields[name] = value + "x"
		case float64:
			fields[name] = value + 1
		case []any:
			fields[name] = append(value, "query:tenant")
		}
		changed, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		var other api.Settings
		if err := json.Unmarshal(changed, &other); err != nil {
			t.Fatal(err)
		}
		if other.Equal(validSettings()) {
			t.Errorf("%s makes no difference", name)
		}
		fields[name] = value
	}
	other := validSettings()
	other.Keys = []string{"query:tenant"}
	if other.Equal(validSettings()) {
		t.Error("another rule makes no difference")
	}
}
