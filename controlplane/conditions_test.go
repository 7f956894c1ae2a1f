package controlplane

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
)

func TestRepeatedWriteIsAnsweredAlike(t *testing.T) {
	l := newLone(t, nil)
	l.send("POST", "/v1/nodes", `{"id":"n1","address":"127.0.0.1:1"}`)
	l.send("POST", "/v1/nodes", `{"id":"n2","address":"127.0.0.1:2"}`)
	l.await(func() bool { return len(l.State().SlotsHeld()) == 2 })
	const key = "Idempotency-Key: 7f0c"
	first, body := l.send("POST", "/v1/nodes/n1/drain", "", key)
	if first.StatusCode != http.StatusOK || first.Header.Get(api.HeaderReplayed) != "" {
		t.Fatalf("%d %s", first.StatusCode, body)
	}
	l.send("POST", "/v1/nodes/n1/undrain", "")
	newest := l.State().NewestChange()
	again, repeated := l.send("POST", "/v1/nodes/n1/drain", "", key)
	if again.StatusCode != http.StatusOK || again.Header.Get(api.HeaderReplayed) != "true" || string(repeated) != string(body) {
		t.Errorf("repeated: %d %s, first %s", again.StatusCode, repeated, body)
	}
	if l.State().NewestChange() != newest || l.State().Node("n1").Draining {
		t.Error("the repetition was carried out")
	}
	other, body := l.send("POST", "/v1/nodes/n2/drain", "", key)
	if other.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(string(body), string(api.CodeKeyReused)) {
		t.Errorf("another request: %d %s", other.StatusCode, body)
	}
}

func TestIfMatchNamesTheNewestChange(t *testing.T) {
	l := newLone(t, nil)
	l.send("POST", "/v1/nodes", `{"id":"n1","address":"127.0.0.1:1"}`)
	l.await(func() bool { return len(l.State().SlotsHeld()) == 1 })
	newest := l.State().NewestChange()
	f := func(match string, status int) {
		t.Helper()
		before := l.State().NewestChange()
		response, body := l.send("PATCH", "/v1/nodes/n1", `{"weight":2}`, "If-Match: "+match)
		if response.StatusCode != status {
			t.Errorf("If-Match %s: %d %s", match, response.StatusCode, body)
		}
		if status != http.StatusOK && l.State().NewestChange() != before {
			t.Errorf("If-Match %s was refused and changed something", match)
		}
	}
	f(fmt.Sprintf("%q", fmt.Sprint(newest-1)), http.StatusPreconditionFailed)
	f(fmt.Sprint(newest), http.StatusBadRequest)
	f(`"0"`, http.StatusBadRequest)
	f(`"x"`, http.StatusBadRequest)
	f(`*`, http.StatusBadRequest)
	f(fmt.Sprintf("%q", fmt.Sprint(newest)), http.StatusOK)
	f(fmt.Sprintf("%q", fmt.Sprint(newest)), http.StatusPreconditionFailed)
}

func TestKeysThatCannotStand(t *testing.T) {
	l := newLone(t, nil)
	for _, key := range []string{"with space", strings.Repeat("k", 256), "ü"} {
		response, body := l.send("POST", "/v1/nodes", `{"id":"n1","address":"127.0.0.1:1"}`, "Idempotency-Key: "+key)
		if response.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "Idempotency-Key") {
			t.Errorf("key %q: %d %s", key, response.StatusCode, body)
		}
	}
	if l.State().Node("n1") != nil {
		t.Error("registered all the same")
	}
}
