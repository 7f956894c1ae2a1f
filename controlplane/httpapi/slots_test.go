package httpapi

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/controlplane/fsm"
	"github.com/stead-io/stead/controlplane/liveness"
)

// slotStage is the API of a member whose state a test makes: n1, n2 and n3 share the slots of a managed
// cluster with two replicas.
type slotStage struct {
	*played
	server *Server
}

func newSlotStage(t *testing.T) slotStage {
	p := &played{t: t, state: fsm.New(), changed: make(chan struct{})}
	p.apply(fsm.Bootstrap{Cluster: "00112233445566778899aabbccddeeff", Level: fsm.ManagedLevel, Settings: api.Settings{
		Service: "kv", State: api.StateManaged, Keys: []string{"header:X-Shard-Key"}, NoKey: api.NoKeyReject,
		SlotBits: api.SlotBitsMin, Replicas: 2, Hash: api.HashSipHash24, HashKey: strings.Repeat("5a", 16),
	}})
	for i := range 3 {
		id := fmt.Sprintf("n%d", i+1)
		p.apply(fsm.Register{Registration: api.Registration{
			ID: api.NodeID(id), Address: fmt.Sprintf("127.0.0.1:%d", i+1), State: api.StateManaged, StoreID: storeOf(id),
		}.WithDefaults()})
	}
	rows := make([]ring.NodeIndex, 2*p.state.SlotCount())
	for i := range rows {
		rows[i] = ring.NodeIndex((i/2 + i%2) % 3)
	}
	p.apply(fsm.Want{Base: p.state.PlanBase(), Want: fsm.PackWant(rows)})
	return slotStage{p, New(Config{Control: p, Logger: slog.New(slog.DiscardHandler)})}
}

func storeOf(id string) api.StoreID { return api.StoreID(strings.Repeat("0"+id[1:], 16)) }

func (p *played) Pace(time.Time, time.Time) liveness.Pace {
	return liveness.Pace{Bytes: 700, BytesLeft: 300, Rate: 10, Blocked: []api.MoveBlocked{{Slot: 9, To: "n3", Reason: "full"}, {Slot: 2, To: "n1", Reason: "full"}}}
}

// ask makes a request and decodes the answer.
func (s slotStage) ask(method, path, body string, into any) *httptest.ResponseRecorder {
	s.t.Helper()
	recorder := httptest.NewRecorder()
	s.server.HTTP().Handler.ServeHTTP(recorder, httptest.NewRequestWithContext(s.t.Context(), method, path, strings.NewReader(body)))
	if recorder.Body.Len() > 0 {
		if err := json.Unmarshal(recorder.Body.Bytes(), into); err != nil {
			s.t.Fatalf("%s %s: %d %q", method, path, recorder.Code, recorder.Body)
		}
	}
	return recorder
}

func (s slotStage) status(id api.NodeID, status api.NodeStatus) {
	s.apply(fsm.Status{Transitions: []fsm.Transition{{Node: id, Session: s.State().Node(id).Session, Status: status}}})
}

// proposal is a JSON body: n1 shrinks slot 0 to itself.
func (s slotStage) proposal(edit func(*api.SlotProposals)) string {
	config := s.State().SlotConfig(0)
	asked := api.SlotProposals{
		Node: "n1", Session: s.State().Node("n1").Session, Generation: 1, SlotBits: api.SlotBitsMin,
		Proposals: []api.SlotProposal{{Slot: 0, Base: config.Epoch, Kind: "shrink", Primary: "n1", ISR: config.ISR[:1], Silent: true}},
	}
	if edit != nil {
		edit(&asked)
	}
	body, err := json.Marshal(asked)
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.Replace(string(body), "{", `{"of_a_later_version":1,`, 1)
}

func TestSlotFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlotStage(t)
		go s.server.Run(t.Context())
		synctest.Wait()
		var whole, news api.SlotFeed
		if got := s.ask("GET", "/v1/slots", "", &whole); got.Code != 200 || !whole.Full || len(whole.Slots) != 256 || len(whole.Nodes) != 3 {
			t.Fatalf("%d %+v", got.Code, whole)
		}
		if want := (api.SlotCursor{Generation: 1, Index: s.State().Index}); whole.Cursor != want || whole.Settings.Replicas != 2 {
			t.Errorf("the cursor is %v, want %v", whole.Cursor, want)
		}
		poll := "/v1/slots?after=" + whole.Cursor.String() + "&wait=45s"
		if got := s.ask("GET", poll, "", &news); got.Code != 204 {
			t.Errorf("%d with no news", got.Code)
		}
		time.AfterFunc(time.Second, func() { s.status("n1", api.NodeDown) })
		start := time.Now()
		s.ask("GET", poll, "", &news)
		if took := time.Since(start); news.Full || len(news.Slots) != 86 || news.Nodes[0].Status != api.NodeDown || took != time.Second {
			t.Errorf("after %v: %d slots, full %v, nodes %+v", took, len(news.Slots), news.Full, news.Nodes)
		}
		if first := news.Slots[0]; first.Slot != 0 || first.Epoch != 2 || first.Primary != "n2" || first.Kind != "promote" {
			t.Errorf("the first is %+v", first)
		}
		var other api.SlotFeed
		if s.ask("GET", "/v1/slots?after=7-99999&wait=45s", "", &other); !other.Full || len(other.Slots) != 256 {
			t.Errorf("of another generation: full %v", other.Full)
		}
	})
}

// TestSlotFeedGathersAFlood: the first change goes out at once, those that follow within the window together.
func TestSlotFeedGathersAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlotStage(t)
		go s.server.Run(t.Context())
		synctest.Wait()
		var feed api.SlotFeed
		s.ask("GET", "/v1/slots", "", &feed)
		time.Sleep(time.Second)
		go func() {
			for range 500 {
				s.status("n1", api.NodeSuspect)
				time.Sleep(time.Millisecond)
				s.status("n1", api.NodeUp)
				time.Sleep(time.Millisecond)
			}
		}()
		start, feeds := time.Now(), 0
		for time.Since(start) < 1100*time.Millisecond {
			if s.ask("GET", "/v1/slots?wait=1s&after="+feed.Cursor.String(), "", &feed).Code == 200 {
				if feeds++; feeds == 1 && time.Since(start) > time.Millisecond {
					t.Errorf("the first came after %v", time.Since(start))
				}
			}
		}
		if feeds < 8 || feeds > 12 {
			t.Errorf("1,000 changes in a second came in %d feeds", feeds)
		}
	})
}

// TestSlotFeedIsEncodedOnce: for all that ask after the same point, in each encoding.
func TestSlotFeedIsEncodedOnce(t *testing.T) {
	s := newSlotStage(t)
	for range 3 {
		for _, coding := range []string{"gzip", ""} {
			recorder := httptest.NewRecorder()
			request := httptest.NewRequest("GET", "/v1/slots", nil)
			request.Header.Set("Accept-Encoding", coding)
			s.server.HTTP().Handler.ServeHTTP(recorder, request)
			var feed api.SlotFeed
			body := json.NewDecoder(recorder.Body)
			if recorder.Header().Get("Content-Encoding") != coding {
				t.Errorf("asked for %q, got %q", coding, recorder.Header().Get("Content-Encoding"))
			}
			if coding == "gzip" {
				unzipped, err := gzip.NewReader(recorder.Body)
				if err != nil {
					t.Fatal(err)
				}
				body = json.NewDecoder(unzipped)
			}
			if err := body.Decode(&feed); err != nil || len(feed.Slots) != 256 {
				t.Fatal(err)
			}
		}
	}
	current := s.server.slots.current.Load()
	if len(current.answers) != 2 {
		t.Errorf("%d encodings for two", len(current.answers))
	}
	for index := range uint64(2 * answersMax) {
		if _, _, err := current.encoded(answerKind{from: api.Version{Generation: 1, Number: index}}); err != nil {
			t.Fatal(err)
		}
	}
	if len(current.answers) != answersMax {
		t.Errorf("%d encodings are kept", len(current.answers))
	}
}

func TestSlotFeedOfAMemberCutOff(t *testing.T) {
	s := newSlotStage(t)
	s.cutOff = true
	var problem api.Problem
	for _, path := range []string{"/v1/slots", "/v1/slots?after=1-1&wait=1s"} {
		if got := s.ask("GET", path, "", &problem); got.Code != 503 || problem.Code != api.CodeNoLeader {
			t.Errorf("%s: %d %+v", path, got.Code, problem)
		}
	}
	var feed api.SlotFeed
	if got := s.ask("GET", "/v1/slots?consistency=stale", "", &feed); got.Code != 200 || !feed.Full {
		t.Errorf("stale: %d", got.Code)
	}
}

func TestProposeSlots(t *testing.T) {
	s := newSlotStage(t)
	body := s.proposal(nil)
	for try := range 2 { // an answer that was lost is asked for again
		var verdicts api.SlotVerdicts
		s.ask("POST", "/v1/slots/cas", body, &verdicts)
		is := verdicts.Verdicts[0]
		if is.Refusal != "" || is.Config.Epoch != 2 || len(is.Config.ISR) != 1 || is.Config.Proposer != "n1" || verdicts.Cursor.Index != s.State().Index {
			t.Errorf("try %d: %+v", try, verdicts)
		}
	}
	var verdicts api.SlotVerdicts
	s.ask("POST", "/v1/slots/cas", s.proposal(func(asked *api.SlotProposals) {
		stale := asked.Proposals[0]
		stale.Base--
		foreign := stale
		foreign.Slot, foreign.Base = 1, 1
		asked.Proposals = []api.SlotProposal{stale, foreign}
	}), &verdicts)
	if got := verdicts.Verdicts; got[0].Refusal != "" && got[0].Refusal != "stale_epoch" || got[1].Refusal != "not_primary" || got[1].Config.Primary != "n2" {
		t.Errorf("got %+v", got)
	}
	counted, metrics := prometheus.NewRegistry(), httptest.NewRecorder()
	counted.MustRegister(s.server.metrics.verdicts)
	promhttp.HandlerFor(counted, promhttp.HandlerOpts{}).ServeHTTP(metrics, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{`{kind="shrink",verdict="accepted"} 3`, `{kind="shrink",verdict="not_primary"} 1`} {
		if !strings.Contains(metrics.Body.String(), "stead_control_proposals_total"+want) {
			t.Errorf("%s is not counted:\n%s", want, metrics.Body)
		}
	}
	if got := standings(s.State()); got[api.SlotMoving] != 1 || got[api.SlotSettled] != 255 {
		t.Errorf("the slots are %v", got)
	}
}

func TestProposeSlotsRefusesAsAWhole(t *testing.T) {
	s := newSlotStage(t)
	f := func(edit func(*api.SlotProposals), status int, code api.Code, field string) {
		t.Helper()
		var problem api.Problem
		got := s.ask("POST", "/v1/slots/cas", s.proposal(edit), &problem)
		if got.Code != status || problem.Code != code || problem.Field != field {
			t.Errorf("got %d %s %q (%s), want %d %s %q", got.Code, problem.Code, problem.Field, problem.Detail, status, code, field)
		}
	}
	before := s.State().Version()
	f(func(p *api.SlotProposals) { p.Session = "0-0" }, 409, api.CodeUnknownSession, "session")
	f(func(p *api.SlotProposals) { p.Session = "" }, 409, api.CodeUnknownSession, "session")
	f(func(p *api.SlotProposals) { p.Node = "n9" }, 404, api.CodeNodeUnknown, "")
	f(func(p *api.SlotProposals) { p.SlotBits = 12 }, 409, api.CodeRingGeometry, "slot_bits")
	f(func(p *api.SlotProposals) { p.Generation = 2 }, 409, api.CodeConflict, "generation")
	f(func(p *api.SlotProposals) { p.Proposals = nil }, 400, api.CodeInvalid, "proposals")
	f(func(p *api.SlotProposals) { p.Proposals = slices.Repeat(p.Proposals, 65) }, 400, api.CodeInvalid, "proposals")
	f(func(p *api.SlotProposals) { p.Proposals[0].Slot = 256 }, 400, api.CodeInvalid, "proposals[0].slot")
	f(func(p *api.SlotProposals) { p.Proposals[0].Kind = "force" }, 400, api.CodeInvalid, "proposals[0].kind")
	f(func(p *api.SlotProposals) { p.Proposals[0].Kind = "promote" }, 400, api.CodeInvalid, "proposals[0].kind")
	f(func(p *api.SlotProposals) { p.Proposals[0].Kind = "" }, 400, api.CodeInvalid, "proposals[0].kind")
	f(func(p *api.SlotProposals) { p.Proposals[0].ISR = nil }, 400, api.CodeInvalid, "proposals[0].isr")
	if after := s.State().Version(); after != before {
		t.Errorf("the ring went from %v to %v", before, after)
	}
}

func TestShowSlot(t *testing.T) {
	s := newSlotStage(t)
	var config api.SlotConfig
	if s.ask("GET", "/v1/slots/2", "", &config); config.Slot != 2 || config.Primary != "n3" || len(config.Want) != 2 {
		t.Errorf("got %+v", config)
	}
	for _, slot := range []string{"256", "-1", "x", "1e1"} {
		var problem api.Problem
		if got := s.ask("GET", "/v1/slots/"+slot, "", &problem); got.Code != 400 || problem.Field != "slot" {
			t.Errorf("slot %s: %d %+v", slot, got.Code, problem)
		}
	}
}

func TestForceOfASlotThatIsServed(t *testing.T) {
	s := newSlotStage(t)
	var problem api.Problem
	got := s.ask("POST", "/v1/slots/0/force", `{"node":"n3"}`, &problem)
	if got.Code != 409 || problem.Code != api.CodeSlotServed || problem.Field != "slot" ||
		!strings.Contains(problem.Detail, "served by node n1") || !strings.Contains(problem.Next, "stead nodes drain n1") {
		t.Errorf("%d %+v", got.Code, problem)
	}
	s.status("n1", api.NodeDown)
	s.status("n2", api.NodeDown)
	if got := s.ask("POST", "/v1/slots/0/force", `{"node":"n3"}`, new(api.Changed)); got.Code != 200 {
		t.Errorf("%d with its nodes down: %s", got.Code, got.Body)
	}
}

func TestKeptByAnEvictedNode(t *testing.T) {
	s := newSlotStage(t)
	s.ask("POST", "/v1/slots/cas", s.proposal(nil), new(api.SlotVerdicts)) // n1 alone has slot 0
	s.apply(fsm.Evict{Node: "n1"})
	kept := keptBy(s.State(), "n1")
	if len(kept) != 1 || !slices.Equal(kept[0].Slots, []api.Slot{0}) || !strings.Contains(kept[0].Reason, "only copy") {
		t.Errorf("got %+v", kept)
	}
	if other := keptBy(s.State(), "n9"); other != nil {
		t.Errorf("got %+v", other)
	}
}

func TestProgressOfAChange(t *testing.T) {
	s := newSlotStage(t)
	over := s.server.showProgress(api.Change{Status: api.ChangeDone})
	if over.Progress.Bytes != 0 {
		t.Errorf("a change that is over shows %+v", over.Progress)
	}
	running := s.server.showProgress(api.Change{Status: api.ChangeRunning, Progress: api.Progress{Done: 1, Total: 3}}).Progress
	left := time.Until(*running.End)
	if running.Done != 1 || running.Bytes != 700 || running.BytesLeft != 300 || running.Rate != 10 || left < 28*time.Second || left > 30*time.Second {
		t.Errorf("got %+v, %v left", running, left)
	}
	if len(running.Blocked) != 2 || running.Blocked[0].Slot != 2 {
		t.Errorf("blocked are %+v", running.Blocked)
	}
}

func TestMovesInBeatsAreBounded(t *testing.T) {
	moves := &api.Moves{Blocked: []api.MoveBlocked{{To: "n 1"}, {To: "n1", Reason: strings.Repeat("x", 500)}}}
	moves.Blocked = append(moves.Blocked, make([]api.MoveBlocked, api.MovesBlockedMax)...)
	boundMoves(moves)
	if len(moves.Blocked) != api.MovesBlockedMax || moves.Blocked[0].To != "n1" || len(moves.Blocked[0].Reason) != reasonLengthMax {
		t.Errorf("got %+v", moves.Blocked)
	}
	boundMoves(nil)
}
