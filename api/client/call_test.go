package client

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stead-io/stead/api"
)

func TestNewRefusesWhatIsNoMember(t *testing.T) {
	f := func(member, want string) {
		t.Helper()
		got, err := BaseURL(member, "http")
		if got != want || (err == nil) != (want != "") {
			t.Errorf("BaseURL(%q) = %q, %v; want %q", member, got, err, want)
		}
	}
	f("127.0.0.1:7400", "http://127.0.0.1:7400")
	f("http://control.example:7400/", "http://control.example:7400")
	f("[::1]:7400", "http://[::1]:7400")
	f("https://127.0.0.1:7400", "")
	f("127.0.0.1", "")
	f("http://127.0.0.1:7400/v1", "")
	f("http://ann@127.0.0.1:7400", "")
	f("", "")

	if _, err := New(Config{}); err == nil {
		t.Error("New took a config without members")
	}
	if _, err := New(Config{Members: []string{"a:1"}, Actor: "a\nb"}); err == nil {
		t.Error("New took an actor with a line break")
	}
}

func TestCallTurnsToTheNextMember(t *testing.T) {
	f := func(name string, first http.HandlerFunc, wantAtMost time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			client := open(t, inMemory{"a": first, "b": says(api.Cluster{Term: 7})})
			start := time.Now()
			cluster, err := client.Cluster(t.Context())
			if err != nil || cluster.Term != 7 {
				t.Fatalf("%s: %+v, %v", name, cluster, err)
			}
			if took := time.Since(start); took > wantAtMost {
				t.Errorf("%s: took %v, want at most %v", name, took, wantAtMost)
			}
			if client.members.first() != 1 {
				t.Errorf("%s: the member that failed is still preferred", name)
			}
		})
	}
	f("connection refused", nil, 0)
	f("hanging", hang, attemptTimeout)
	f("no leader", refuses(api.CodeNoLeader), 0)
	f("ambiguous", refuses(api.CodeAmbiguous), 0)
	f("bad gateway", text(502, "upstream gone"), 0)
	f("not JSON", text(200, "<html>hello</html>"), 0)
	f("not Stead", text(404, "nothing here"), 0)
	f("a redirect", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://b:7400/elsewhere", http.StatusFound)
	}, 0)
}

func TestCallHandsBackTheProblem(t *testing.T) {
	var asked counted
	client := open(t, inMemory{"a": asked.by(refuses(api.CodeLastNode)), "b": asked.by(refuses(api.CodeLastNode))})
	_, err := client.Drain(t.Context(), "n1")
	var problem *api.Problem
	if !errors.As(err, &problem) || problem.Code != api.CodeLastNode || problem.Status != http.StatusConflict {
		t.Fatalf("got %v, want the problem last_node", err)
	}
	if want := "cannot drain node n1: because (last_node)"; err.Error() != want {
		t.Errorf("error is %q, want %q", err, want)
	}
	if asked.count != 1 {
		t.Errorf("%d members were asked, want 1: a refusal is an answer", asked.count)
	}
}

func TestCallWaitsForALeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		elected := time.Now().Add(800 * time.Millisecond)
		handler := func(w http.ResponseWriter, r *http.Request) {
			if time.Now().Before(elected) {
				refuses(api.CodeNoLeader)(w, r)
				return
			}
			says(api.Registered{Session: "s1"})(w, r)
		}
		client := open(t, inMemory{"a": nil, "b": handler, "c": handler})
		registered, err := client.Register(t.Context(), api.Registration{ID: "n1"})
		if err != nil || registered.Session != "s1" {
			t.Fatalf("%+v, %v", registered, err)
		}
		if late := time.Since(elected); late > callBackoff.most {
			t.Errorf("answered %v after the election", late)
		}
	})
}

func TestCallGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := open(t, inMemory{"a": nil, "b": hang})
		start := time.Now()
		_, err := client.Nodes(t.Context())
		if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "http://a:7400: cannot connect: connection refused") ||
			!strings.Contains(err.Error(), "http://b:7400: ") {
			t.Errorf("got %v, want ErrUnreachable naming both members", err)
		} else if !errors.Is(err, errUnsent) {
			t.Errorf("%v hides why the members did not answer", err)
		}
		if took := time.Since(start); took != callPatience {
			t.Errorf("gave up after %v, want %v", took, callPatience)
		}

		client = open(t, inMemory{"a": nil, "b": refuses(api.CodeNoLeader)})
		if _, err = client.Nodes(t.Context()); api.CodeOf(err) != api.CodeNoLeader {
			t.Errorf("got %v, want the problem of the member that answered", err)
		}
	})
}

func TestCallFailsFastIfAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		client := open(t, inMemory{"a": nil, "b": nil})
		client.failFast = true
		if _, err := client.Nodes(t.Context()); !errors.Is(err, ErrUnreachable) || time.Since(start) != 0 {
			t.Errorf("got %v after %v, want ErrUnreachable at once", err, time.Since(start))
		}
	})
}

func TestCallEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := open(t, inMemory{"a": hang, "b": hang})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		_, err := client.Nodes(ctx)
		if !errors.Is(err, context.Canceled) || time.Since(start) != time.Second {
			t.Errorf("got %v after %v, want Canceled after 1s", err, time.Since(start))
		}
	})
}

func TestBeatTriesEachMemberOnceAndSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked counted
		slow := asked.by(hang)
		client := open(t, inMemory{"a": slow, "b": slow, "c": slow})
		start := time.Now()
		_, err := client.Beat(t.Context(), "n1", api.Beat{})
		if !errors.Is(err, ErrUnreachable) || asked.count != 3 {
			t.Errorf("asked %d times, got %v", asked.count, err)
		}
		if took := time.Since(start); took > api.TTLDefault {
			t.Errorf("took %v, longer than a node's default ttl", took)
		}
		client = open(t, inMemory{"a": refuses(api.CodeUnknownSession)})
		if _, err = client.Beat(t.Context(), "n1", api.Beat{}); api.CodeOf(err) != api.CodeUnknownSession {
			t.Errorf("got %v, want unknown_session", err)
		}
	})
}

func TestBeatReachesTheLastMemberInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := open(t, inMemory{"a": hang, "b": hang, "c": says(api.ProxyBeaten{})})
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := client.ProxyBeat(ctx, "p1", api.ProxyBeat{}); err != nil {
			t.Error(err)
		}
	})
}

func TestRemoveRepeated(t *testing.T) {
	drop := func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }
	gone := refuses(api.CodeNodeUnknown)

	lost := dial(t, serve(t, drop), serve(t, gone))
	if changed, err := lost.Remove(t.Context(), "n1", true); err != nil || changed.Note == "" {
		t.Errorf("after a lost answer: %+v, %v; want success with a note", changed, err)
	}
	down := serve(t, gone)
	down.Close()
	never := dial(t, down, serve(t, gone))
	if _, err := never.Remove(t.Context(), "n1", true); api.CodeOf(err) != api.CodeNodeUnknown {
		t.Errorf("behind a member that is down: %v; want node_unknown", err)
	}
}

func TestCallBoundsTheAnswer(t *testing.T) {
	endless := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", api.TypeJSON)
		for chunk := []byte(strings.Repeat(" ", 64<<10)); ; {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	client := dial(t, endless, serve(t, says(api.Cluster{Term: 9})))
	client.bodyMax = 1 << 20
	if cluster, err := client.Cluster(t.Context()); err != nil || cluster.Term != 9 {
		t.Errorf("%+v, %v; want the next member's answer", cluster, err)
	}
}

func TestRequestsOnTheWire(t *testing.T) {
	var seen *http.Request
	client := open(t, inMemory{"a": func(w http.ResponseWriter, r *http.Request) {
		seen = r
		says(struct{}{})(w, r)
	}})
	f := func(want, actor string, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if got := seen.Method + " " + seen.URL.RequestURI(); got != want || seen.Header.Get(api.HeaderActor) != actor {
			t.Errorf("sent %q by %q, want %q by %q", got, seen.Header.Get(api.HeaderActor), want, actor)
		}
	}
	ctx := t.Context()
	const ann = "ann@desk"
	_, err := client.Nodes(WithConsistency(ctx, "linearizable"))
	f("GET /v1/nodes?consistency=linearizable", "", err)
	_, err = client.Node(ctx, "n1")
	f("GET /v1/nodes/n1", "", err)
	_, err = client.Drain(WithConsistency(ctx, "stale"), "n1")
	f("POST /v1/nodes/n1/drain", ann, err)
	_, err = client.Undrain(ctx, "n1")
	f("POST /v1/nodes/n1/undrain", ann, err)
	_, err = client.PatchNode(ctx, "n1", api.NodePatch{})
	f("PATCH /v1/nodes/n1", ann, err)
	_, err = client.Remove(ctx, "n1", true)
	f("DELETE /v1/nodes/n1?force=lossy", ann, err)
	_, err = client.Rebalance(ctx)
	f("POST /v1/ring/rebalance", ann, err)
	_, err = client.Versions(ctx, 9, 2)
	f("GET /v1/ring/versions?before=9&limit=2", "", err)
	_, err = client.VersionAt(ctx, 7)
	f("GET /v1/ring/versions/7", "", err)
	_, err = client.Changes(ctx, 0, 0)
	f("GET /v1/ring/changes", "", err)
	_, err = client.Change(ctx, 3)
	f("GET /v1/ring/changes/3", "", err)
	_, err = client.Diff(ctx, "c12", "1-7")
	f("GET /v1/ring/diff?from=c12&to=1-7", "", err)
	_, err = client.Locate(ctx, []byte("\xff a"))
	f("GET /v1/ring/locate?key_hex=ff2061", "", err)
	_, err = client.SetCluster(ctx, api.SettingsPatch{})
	f("PATCH /v1/cluster", ann, err)
	_, err = client.Proxies(ctx)
	f("GET /v1/proxies", "", err)
	_, err = client.ProxyBeat(ctx, "p1", api.ProxyBeat{})
	f("POST /v1/proxies/p1/beat", ann, err)
	f("POST /v1/leader/transfer", ann, client.TransferLeader(ctx, "c2"))
}

func TestBackoffGrowsToItsBound(t *testing.T) {
	b := backoff{start: 10 * time.Millisecond, most: time.Second}
	for failures := range 200 {
		bound := min(time.Second, 10*time.Millisecond<<min(failures, 20))
		if got := b.after(failures); got < 0 || got >= bound {
			t.Errorf("after %d failures waited %v, want less than %v", failures, got, bound)
		}
	}
}
