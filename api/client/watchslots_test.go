package client

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stead-io/stead/api"
)

// feedAt is a feed of one cluster at generation-index.
func feedAt(generation, index uint64, full bool) api.SlotFeed {
	return api.SlotFeed{
		Cluster: testCluster, Version: api.Version{Generation: generation, Number: index},
		Cursor: api.SlotCursor{Generation: generation, Index: index}, Full: full,
	}
}

// slotMember serves GET /v1/slots: polls by after, everything without.
func slotMember(whole http.HandlerFunc, polls map[string]http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(api.HeaderCluster, string(testCluster))
		after := r.URL.Query().Get("after")
		switch handler := polls[after]; {
		case after == "" && whole != nil:
			whole(w, r)
		case handler != nil && r.URL.Query().Get("wait") != "":
			handler(w, r)
		default:
			hang(w, r)
		}
	}
}

// watchedSlots collects the cursors a watch hands out until there are enough, or the time is up.
func watchedSlots(t *testing.T, client *Client, enough int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*pollWait)
	defer cancel()
	var cursors []string
	err := client.WatchSlots(ctx, func(feed api.SlotFeed) {
		cursors = append(cursors, feed.Cursor.String())
		if len(cursors) == enough {
			cancel()
		}
	})
	if !errors.Is(err, ctx.Err()) || err == nil {
		t.Errorf("WatchSlots returned %v, want the context's error", err)
	}
	return cursors
}

func TestWatchSlots(t *testing.T) {
	tell := func(generation, index uint64) http.HandlerFunc { return says(feedAt(generation, index, false)) }
	whole := func(generation, index uint64) http.HandlerFunc { return says(feedAt(generation, index, true)) }
	foreign := feedAt(9, 9, true)
	foreign.Cluster = otherCluster
	noContent := func(w http.ResponseWriter, r *http.Request) {
		if wait(r.Context(), pollWait) == nil {
			w.WriteHeader(http.StatusNoContent)
		}
	}
	type polls = map[string]http.HandlerFunc

	f := func(name string, a, b http.HandlerFunc, want ...string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			client := open(t, inMemory{"a": a, "b": b})
			if got := watchedSlots(t, client, len(want)); !slices.Equal(got, want) {
				t.Errorf("%s: handed out %v, want %v", name, got, want)
			}
		})
	}
	f("changes", slotMember(whole(1, 5), polls{"1-5": tell(1, 7), "1-7": tell(1, 9)}), nil, "1-5", "1-7", "1-9")
	f("nothing new for a while", slotMember(whole(1, 5), polls{"1-5": inTurn(noContent, noContent, tell(1, 6))}), nil, "1-5", "1-6")
	f("everything again", slotMember(whole(1, 5), polls{"1-5": whole(1, 8)}), nil, "1-5", "1-8")
	f("higher generation", slotMember(whole(1, 5), polls{"1-5": whole(2, 1)}), nil, "1-5", "2-1")
	f("a higher generation must be told whole", slotMember(whole(1, 5), polls{"1-5": tell(2, 1)}),
		slotMember(nil, polls{"1-5": whole(2, 3)}), "1-5", "2-3")
	f("the first feed must be whole", slotMember(tell(1, 5), nil), slotMember(whole(1, 4), nil), "1-4")
	f("a lower generation is not handed out", slotMember(whole(2, 5), polls{"2-5": whole(1, 9)}),
		slotMember(nil, polls{"2-5": tell(2, 6)}), "2-5", "2-6")
	f("older feeds are not handed out", slotMember(whole(1, 5), polls{"1-5": tell(1, 5)}),
		slotMember(nil, polls{"1-5": tell(1, 6)}), "1-5", "1-6")
	f("another cluster is not handed out", slotMember(whole(1, 5), polls{"1-5": says(foreign)}),
		slotMember(nil, polls{"1-5": tell(1, 6)}), "1-5", "1-6")
	f("a member is down", nil, slotMember(whole(1, 5), nil), "1-5")
	f("a member hangs while it should tell all", hang, slotMember(whole(1, 5), nil), "1-5")
	f("the leader is lost", slotMember(whole(1, 5), polls{"1-5": refuses(api.CodeNoLeader)}),
		slotMember(nil, polls{"1-5": tell(1, 6)}), "1-5", "1-6")
	f("garbage", inTurn(text(200, "<html>"), text(500, "oops"), whole(1, 5)), text(200, "{}"), "1-5")
}

// A member that hangs would cost a whole poll, and slots that its node should take over as long.
func TestWatchSlotsLeavesAMemberThatLagsBehindTheBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := open(t, inMemory{
			"a": slotMember(says(feedAt(1, 5, true)), nil),
			"b": slotMember(nil, map[string]http.HandlerFunc{"1-5": says(feedAt(1, 6, false))}),
		})
		start := time.Now()
		time.AfterFunc(2*time.Second, func() { client.horizon.raise(api.Version{Generation: 1, Number: 6}) })
		if got := watchedSlots(t, client, 2); !slices.Equal(got, []string{"1-5", "1-6"}) {
			t.Errorf("handed out %v, want 1-5 and 1-6", got)
		}
		if took := time.Since(start); took > 2*time.Second+lagMax+watchBackoff.most {
			t.Errorf("took %v", took)
		}
	})
}
