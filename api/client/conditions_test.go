package client

import (
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stead-io/stead/api"
)

// keysSeen notes the keys that a handler was asked with.
type keysSeen struct{ keys, matches []string }

func (k *keysSeen) by(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		k.keys = append(k.keys, r.Header.Get(api.HeaderIdempotencyKey))
		k.matches = append(k.matches, r.Header.Get("If-Match"))
		handler(w, r)
	}
}

func TestWritesAreRepeatedUnderOneKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen keysSeen
		handler := seen.by(inTurn(refuses(api.CodeAmbiguous), refuses(api.CodeNoLeader), text(502, "the leader is gone"), func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(api.HeaderReplayed, "true")
			says(api.Changed{Change: 7})(w, r)
		}))
		client := open(t, inMemory{"a": handler, "b": handler})
		changed, err := client.Drain(t.Context(), "n1")
		if err != nil || changed.Change != 7 || !changed.Replayed || len(seen.keys) != 4 {
			t.Fatalf("got %+v, %v after %d tries", changed, err, len(seen.keys))
		}
		for _, key := range seen.keys {
			if key == "" || key != seen.keys[0] {
				t.Errorf("tries of one call carry keys %q", seen.keys)
			}
		}
		if _, err := client.Drain(t.Context(), "n1"); err != nil || seen.keys[4] == seen.keys[0] {
			t.Errorf("another call came under the same key: %v", err)
		}
	})
}

func TestWritesDoWithoutAKeyWhereNoneIsKnown(t *testing.T) {
	var seen keysSeen
	handler := seen.by(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(api.HeaderIdempotencyKey) != "" {
			api.NewProblem(api.CodeUnsupported, "level 1").InField(api.HeaderIdempotencyKey).WriteTo(w)
			return
		}
		says(api.Changed{Change: 7})(w, r)
	})
	client := open(t, inMemory{"a": handler})
	if changed, err := client.Drain(WithIfMatch(t.Context(), 6), "n1"); err != nil || changed.Change != 7 {
		t.Fatalf("got %+v, %v", changed, err)
	}
	if len(seen.keys) != 2 || seen.keys[0] == "" || seen.keys[1] != "" || seen.matches[1] != `"6"` {
		t.Errorf("asked with keys %q and If-Match %q", seen.keys, seen.matches)
	}
	_, err := client.Drain(WithIdempotencyKey(t.Context(), "mine"), "n1")
	if api.CodeOf(err) != api.CodeUnsupported || seen.keys[2] != "mine" {
		t.Errorf("a key that was given was dropped: %v, keys %q", err, seen.keys)
	}
}

func TestBeatsAndReadsHaveNoConditions(t *testing.T) {
	var seen keysSeen
	client := open(t, inMemory{"a": seen.by(says(struct{}{}))})
	ctx := WithIfMatch(WithIdempotencyKey(t.Context(), "k"), 3)
	_, err := client.Beat(ctx, "n1", api.Beat{})
	_, errNodes := client.Nodes(ctx)
	_, errRegister := client.Register(t.Context(), api.Registration{ID: "n1"})
	if err != nil || errNodes != nil || errRegister != nil {
		t.Fatal(err, errNodes, errRegister)
	}
	for i := range 3 {
		if seen.keys[i] != "" || seen.matches[i] != "" {
			t.Errorf("request %d carries %q %q", i, seen.keys[i], seen.matches[i])
		}
	}
	if _, err := client.Register(WithIdempotencyKey(t.Context(), "k"), api.Registration{ID: "n1"}); err != nil || seen.keys[3] != "k" {
		t.Errorf("a registration under a key carries %q, %v", seen.keys[3], err)
	}
}
