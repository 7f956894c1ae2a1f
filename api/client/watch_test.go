package client

import (
	"bytes"
	"compress/gzip"
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// versions 1-1 to 1-9 of one cluster, by number.
func history(t *testing.T) []*ring.View {
	t.Helper()
	views := make([]*ring.View, 10)
	for number := range views {
		views[number] = viewAt(t, testCluster, api.Version{Generation: 1, Number: uint64(number)})
	}
	return views
}

func TestWatch(t *testing.T) {
	v := history(t)
	restored := viewAt(t, testCluster, api.Version{Generation: 2, Number: 1})
	foreign := viewAt(t, otherCluster, api.Version{Generation: 9, Number: 9})
	wrong := ring.Between(v[1].Table, v[2].Table).Wire(nil)
	wrong.Digest = strings.Repeat("00", 32)
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
			if got := watched(t, client, nil, len(want)); !slices.Equal(got, want) {
				t.Errorf("%s: handed out %v, want %v", name, got, want)
			}
		})
	}
	f("deltas", member(full(v[1]), polls{"1-1": delta(v[1], v[2]), "1-2": delta(v[2], v[5])}), nil,
		"1-1", "1-2", "1-5")
	f("nothing new for a while", member(full(v[1]), polls{"1-1": inTurn(noContent, noContent, delta(v[1], v[2]))}), nil,
		"1-1", "1-2")
	f("digest mismatch", member(inTurn(full(v[1]), full(v[2])), polls{"1-1": deltaOf(wrong)}), nil,
		"1-1", "1-2")
	f("delta from elsewhere", member(inTurn(full(v[1]), full(v[4])), polls{"1-1": delta(v[3], v[4])}), nil,
		"1-1", "1-4")
	f("delta undecodable", member(inTurn(full(v[1]), full(v[4])), polls{"1-1": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", api.TypeRingDelta)
		_, _ = w.Write([]byte(`{"slots":[[`))
	}}), nil, "1-1", "1-4")
	f("version gone", member(inTurn(full(v[1]), full(v[7])), polls{"1-1": refuses(api.CodeVersionGone)}), nil,
		"1-1", "1-7")
	f("full instead of a delta", member(full(v[1]), polls{"1-1": full(v[8])}), nil,
		"1-1", "1-8")
	f("higher generation", member(full(v[9]), polls{"1-9": full(restored)}), nil,
		"1-9", "2-1")
	f("lower generation is not handed out", member(full(restored), polls{"2-1": full(v[9])}),
		member(full(v[9]), polls{"2-1": full(viewAt(t, testCluster, api.Version{Generation: 2, Number: 4}))}),
		"2-1", "2-4")
	f("older versions are not handed out", member(full(v[5]), polls{"1-5": full(v[3])}),
		member(full(v[5]), polls{"1-5": full(v[6])}),
		"1-5", "1-6")
	f("another cluster is not handed out", member(full(v[1]), polls{"1-1": full(foreign)}),
		member(full(v[1]), polls{"1-1": delta(v[1], v[2])}),
		"1-1", "1-2")
	f("a cluster without nodes is left for what it was restored as", member(full(blankAt(t, 2)), polls{"1-2": full(foreign), "9-9": full(v[9])}),
		member(full(blankAt(t, 2)), polls{"9-9": full(viewAt(t, otherCluster, api.Version{Generation: 9, Number: 10}))}),
		"1-2", "9-9", "9-10")
	f("and for one that was founded anew", member(inTurn(full(blankAt(t, 2)), full(viewAt(t, otherCluster, api.Version{Generation: 1, Number: 1}))),
		polls{"1-2": refuses(api.CodeVersionGone)}), nil,
		"1-2", "1-1")
	f("a member is down", nil, member(full(v[1]), polls{"1-1": delta(v[1], v[2])}),
		"1-1", "1-2")
	f("a member hangs while it should hand out the ring", hang, member(full(v[1]), nil),
		"1-1")
	f("the leader is lost", member(full(v[1]), polls{"1-1": refuses(api.CodeNoLeader)}),
		member(nil, polls{"1-1": delta(v[1], v[2]), "1-2": delta(v[2], v[3])}),
		"1-1", "1-2", "1-3")
	f("garbage", inTurn(text(200, "<html>"), text(500, "oops"), full(v[1])), text(200, "{}"),
		"1-1")
	f("an empty ring is a ring", member(full(v[0]), polls{"1-0": delta(v[0], v[1])}), nil,
		"1-0", "1-1")
}

// blankAt is the ring of a cluster before its first node.
func blankAt(t *testing.T, number uint64) *ring.View {
	t.Helper()
	table := ring.NewTable(testCluster, api.SlotBitsMin, 1)
	table.Version = api.Version{Generation: 1, Number: number}
	view, err := ring.NewView(viewAt(t, testCluster, table.Version).Settings, table)
	if err != nil {
		t.Fatal(err)
	}
	return view
}

func TestWatchGoesOnFromWhatItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := history(t)
		client := open(t, inMemory{"a": member(nil, map[string]http.HandlerFunc{"1-3": delta(v[3], v[4])})})
		if got := watched(t, client, v[3], 1); !slices.Equal(got, []string{"1-4"}) {
			t.Errorf("handed out %v, want 1-4", got)
		}
	})
}

func TestWatchReportsAnotherCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		waiting := func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(api.HeaderCluster, string(otherCluster))
			if wait(r.Context(), pollWait) == nil {
				w.WriteHeader(http.StatusNoContent)
			}
		}
		client := open(t, inMemory{"a": waiting})
		client.logger = slog.New(slog.NewTextHandler(&log, nil))
		if got := watched(t, client, history(t)[1], 0); len(got) != 0 {
			t.Errorf("handed out %v", got)
		}
		if count := strings.Count(log.String(), "another cluster"); count != 1 || !strings.Contains(log.String(), "restart this process") {
			t.Errorf("reported %d times, want once:\n%s", count, log.String())
		}
	})
}

// A member that hangs would cost a whole poll, were it not for the beats that go elsewhere.
func TestWatchLeavesAMemberThatLagsBehindTheBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := history(t)
		client := open(t, inMemory{"a": hang, "b": member(nil, map[string]http.HandlerFunc{"1-1": delta(v[1], v[2])})})
		start := time.Now()
		time.AfterFunc(2*time.Second, func() { client.horizon.raise(v[2].Table.Version) })
		if got := watched(t, client, v[1], 1); !slices.Equal(got, []string{"1-2"}) {
			t.Errorf("handed out %v, want 1-2", got)
		}
		if took := time.Since(start); took > 2*time.Second+lagMax+watchBackoff.most {
			t.Errorf("took %v", took)
		}
	})
}

// A version that no member serves, because a beat's answer was wrong, is chased once.
func TestWatchChasesAVersionOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked counted
		client := open(t, inMemory{"a": asked.by(hang)})
		client.horizon.raise(api.Version{Generation: 1, Number: 50})
		ctx, cancel := context.WithTimeout(t.Context(), pollWait)
		defer cancel()
		_ = client.Watch(ctx, history(t)[1], func(*ring.View) {})
		if asked.count != 2 {
			t.Errorf("%d polls within one wait, want 2", asked.count)
		}
	})
}

func TestWatchBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked counted
		client := open(t, inMemory{"a": asked.by(refuses(api.CodeNoLeader)), "b": asked.by(text(204, ""))})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_ = client.Watch(ctx, history(t)[1], func(*ring.View) {})
		if asked.count < 20 || asked.count > 200 {
			t.Errorf("%d polls in a minute of failures", asked.count)
		}
	})
}

func TestRingOverSockets(t *testing.T) {
	v := history(t)
	zipped := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			t.Errorf("Accept-Encoding is %q", r.Header.Get("Accept-Encoding"))
		}
		w.Header().Set("Content-Type", api.TypeRing+api.TypeVersion)
		w.Header().Set("Content-Encoding", "gzip")
		body := gzip.NewWriter(w)
		_, _ = body.Write(v[6].Encode())
		_ = body.Close()
	})
	truncated := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", api.TypeRing)
		_, _ = w.Write(v[6].Encode()[:100])
	})
	client := dial(t, truncated, zipped)
	view, err := client.Ring(t.Context())
	if err != nil || view.Table.Version.Number != 6 {
		t.Fatalf("%+v, %v", view, err)
	}
	if view.Table.Digest() != v[6].Table.Digest() {
		t.Error("the ring came out different")
	}
}
