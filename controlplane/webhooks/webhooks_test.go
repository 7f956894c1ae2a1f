package webhooks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/fsm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testKey = []byte("0123456789abcdef")

// played is a replicated state that a test moves by hand.
type played struct {
	t *testing.T

	mu       sync.Mutex
	state    *fsm.State
	changed  chan struct{}
	proposed int
}

func newPlayed(t *testing.T, level int) *played {
	p := &played{t: t, state: fsm.New(), changed: make(chan struct{})}
	p.apply(fsm.Bootstrap{Cluster: "00112233445566778899aabbccddeeff", Level: level, Settings: api.Settings{
		Service: "kv", State: api.StateNone, Keys: []string{"header:X-Shard-Key"}, NoKey: api.NoKeyReject,
		SlotBits: api.SlotBitsMin, Replicas: 1, Hash: api.HashSipHash24, HashKey: strings.Repeat("5a", 16),
	}})
	p.apply(fsm.Register{Registration: api.Registration{ID: "n1", Address: "127.0.0.1:1"}.WithDefaults()})
	return p
}

func (p *played) State() *fsm.State        { p.mu.Lock(); defer p.mu.Unlock(); return p.state }
func (p *played) Changed() <-chan struct{} { p.mu.Lock(); defer p.mu.Unlock(); return p.changed }

func (p *played) Delivered(_ context.Context, place fsm.Delivered) error {
	p.apply(place)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.proposed++
	return nil
}

func (p *played) apply(command fsm.Command) {
	p.t.Helper()
	entry, err := fsm.Encode(fsm.At(time.Now(), fsm.By("ann")), command)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	next, result, err := fsm.Apply(p.state, p.state.Index+1, entry)
	if err != nil || result.Problem != nil {
		p.t.Fatal(err, result.Problem)
	}
	p.state = next
	close(p.changed)
	p.changed = make(chan struct{})
}

// happen makes changes, each with an id.
func (p *played) happen(count int) {
	for range count {
		draining := p.State().Node("n1").Draining
		p.apply(fsm.Drain{Node: "n1", On: !draining})
	}
}

// answer holds all changes that wait for the planner.
func (p *played) answer() {
	var waiting []api.ChangeID
	for _, change := range p.State().Pending() {
		waiting = append(waiting, change.ID)
	}
	p.apply(fsm.Hold{Changes: waiting})
}

// receivers play webhooks' receivers by host.
type receivers struct {
	mu     sync.Mutex
	answer func(host string) (int, error)
	taken  map[string][]api.Event
	tried  map[string]int
	badSig int
}

func (r *receivers) RoundTrip(request *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.tried[request.URL.Host]++
	status, err := r.answer(request.URL.Host)
	if !verified(testKey, request.Header.Get(api.HeaderSignature), body) {
		r.badSig++
	}
	r.mu.Unlock()
	if status == 0 && err == nil {
		<-request.Context().Done()
		return nil, request.Context().Err()
	}
	if err != nil {
		return nil, err
	}
	var event api.Event
	if err := json.Unmarshal(body, &event); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if status/100 == 2 {
		r.taken[request.URL.Host] = append(r.taken[request.URL.Host], event)
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader("thanks"))}, nil
}

func (r *receivers) changes(host string) (ids []api.ChangeID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, event := range r.taken[host] {
		ids = append(ids, event.Change.ID)
	}
	return ids
}

func allTake(string) (int, error) { return http.StatusNoContent, nil }

// delivering runs webhooks in a bubble, as a leader does.
type delivering struct {
	t     *testing.T
	log   *played
	to    *receivers
	hooks *Webhooks
	notes *bytes.Buffer
	stop  func()
}

func newDelivering(t *testing.T, log *played, urls ...string) *delivering {
	d := &delivering{t: t, log: log, to: &receivers{answer: allTake, taken: map[string][]api.Event{}, tried: map[string]int{}}, notes: &bytes.Buffer{}}
	hooks, err := newWebhooks(Config{URLs: urls, Key: testKey, Log: log, Logger: slog.New(slog.NewTextHandler(d.notes, nil))}, d.to)
	if err != nil {
		t.Fatal(err)
	}
	d.hooks = hooks
	return d
}

func (d *delivering) lead() {
	ctx, cancel := context.WithCancel(d.t.Context())
	done := make(chan struct{})
	d.hooks.Resume()
	go func() { defer close(done); d.hooks.Run(ctx) }()
	d.stop = func() { cancel(); <-done }
}

func (d *delivering) want(host string, first, last int) {
	d.t.Helper()
	var want []api.ChangeID
	for id := first; id <= last; id++ {
		want = append(want, api.ChangeID(id))
	}
	if got := d.to.changes(host); !slices.Equal(got, want) {
		d.t.Fatalf("%s took %v, want %d to %d", host, got, first, last)
	}
}

func TestEventsArePostedFromThePresentOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDelivering(t, newPlayed(t, 2), "http://a.example/x")
		d.lead()
		synctest.Wait()
		d.want("a.example", 1, 0)
		d.log.happen(5) // changes 3 to 7
		synctest.Wait()
		if got := d.to.changes("a.example"); len(got) == 0 || got[len(got)-1] != 7 || !slices.IsSorted(got) {
			t.Fatalf("took %v", got)
		}
		event := d.to.taken["a.example"][0]
		if event.Kind != api.EventChange || event.ID.Index == 0 || event.Cluster != d.log.State().Cluster || event.Change.Actor != "ann" || event.Change.Want != nil {
			t.Errorf("posted %+v", event)
		}
		if d.to.badSig > 0 {
			t.Errorf("%d deliveries were signed wrongly", d.to.badSig)
		}
		// In peace nothing is written to the log.
		pass(3 * recordEvery)
		before := d.log.proposed
		pass(time.Hour)
		if d.log.proposed != before || before > 3 {
			t.Errorf("%d writes, %d of them in peace", d.log.proposed, d.log.proposed-before)
		}
		d.stop()
	})
}

func TestReceiverThatFailsIsTriedInOrder(t *testing.T) {
	f := func(name string, refuse func() (int, error)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			d := newDelivering(t, newPlayed(t, 2), "http://a.example/secret-path", "http://b.example/")
			down := true
			d.to.answer = func(host string) (int, error) {
				if host == "a.example" && down {
					return refuse()
				}
				return allTake(host)
			}
			d.lead()
			synctest.Wait()
			for range 4 { // changes 3 to 6
				d.log.happen(1)
				synctest.Wait()
			}
			d.want("b.example", 3, 6) // never waits for a
			pass(AlarmAfter + time.Minute)
			if tried := d.to.tried["a.example"]; tried < 6 || tried > 60 {
				t.Errorf("%s: tried %d times in %v", name, tried, AlarmAfter)
			}
			alarms := d.hooks.Alarms(time.Now())
			if len(alarms) != 1 || !strings.Contains(alarms[0], "a.example#") {
				t.Errorf("%s: alarms %q", name, alarms)
			}
			d.to.mu.Lock()
			down = false
			d.to.mu.Unlock()
			pass(retryMost + attemptTimeout)
			d.want("a.example", 3, 6)
			if alarms := d.hooks.Alarms(time.Now()); alarms != nil {
				t.Errorf("%s: alarms %q after all was taken", name, alarms)
			}
			if notes := d.notes.String(); strings.Contains(notes, "secret-path") || strings.Count(notes, "did not take") != 1 {
				t.Errorf("%s: logged\n%s", name, notes)
			}
			d.stop()
		})
	}
	f("refusing", func() (int, error) { return http.StatusInternalServerError, nil })
	f("redirecting", func() (int, error) { return http.StatusFound, nil })
	f("down", func() (int, error) { return 0, errors.New("connection refused") })
	f("hanging", func() (int, error) { return 0, nil })
}

func TestNextLeaderGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newPlayed(t, 2)
		first := newDelivering(t, log, "http://a.example/")
		first.lead()
		synctest.Wait()
		for range 3 {
			log.happen(1) // changes 3 to 5
			synctest.Wait()
		}
		pass(recordEvery)
		first.to.mu.Lock()
		first.to.answer = func(string) (int, error) { return http.StatusServiceUnavailable, nil }
		first.to.mu.Unlock()
		log.happen(1) // change 6
		synctest.Wait()
		first.stop()
		first.want("a.example", 3, 5)
		log.happen(1) // change 7, while nobody delivers
		second := newDelivering(t, log, "http://a.example/")
		second.lead()
		synctest.Wait()
		second.want("a.example", 6, 7)
		second.stop()
	})
}

func TestWebhookBeyondHistorySkips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDelivering(t, newPlayed(t, 2), "http://a.example/")
		d.to.answer = func(string) (int, error) { return http.StatusServiceUnavailable, nil }
		d.lead()
		synctest.Wait()
		d.log.happen(1010)
		d.log.answer() // what waits to be answered is kept
		d.log.happen(1)
		pass(10 * time.Minute)
		d.to.mu.Lock()
		d.to.answer = allTake
		d.to.mu.Unlock()
		pass(2 * retryMost)
		newest := int(d.log.State().NewestChange())
		d.want("a.example", newest-999, newest)
		if count := strings.Count(d.notes.String(), "events are skipped"); count != 1 {
			t.Errorf("said %d times that events are skipped", count)
		}
		d.stop()
	})
}

func TestWebhooksWaitForTheLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDelivering(t, newPlayed(t, 1), "http://a.example/")
		d.lead()
		synctest.Wait()
		d.log.happen(2)
		d.log.apply(fsm.Level{Level: 2})
		synctest.Wait()
		d.log.happen(1)
		synctest.Wait()
		d.want("a.example", 5, 5)
		d.stop()
	})
}

func TestTargets(t *testing.T) {
	f := func(ok bool, urls ...string) {
		t.Helper()
		err := ValidateURLs(urls)
		if (err == nil) != ok {
			t.Errorf("%q: %v", urls, err)
		}
		if err != nil && strings.Contains(err.Error(), "hidden") {
			t.Errorf("the refusal repeats the URL: %v", err)
		}
	}
	f(true)
	f(true, "http://127.0.0.1:9/x?y=z", "https://hooks.example.com/a/b")
	f(false, "ftp://hidden.example/")
	f(false, "hidden.example/x")
	f(false, "http:///hidden")
	f(false, "http://ann:hidden@a.example/")
	f(false, "http://a.example/hidden", "http://a.example/hidden")
	f(false, "http://a.example/"+strings.Repeat("hidden", 400))
	f(false, "http://hidden\x7f/")
	var nine []string
	for i := range TargetsMax + 1 {
		nine = append(nine, fmt.Sprintf("http://a.example/%d", i))
	}
	f(false, nine...)
}

func TestRetriesAreSpaced(t *testing.T) {
	for failures := 1; failures < 200; failures++ {
		span := min(retryMost, retryStart<<min(failures-1, 20))
		for _, random := range []float64{0, 0.5, 0.999} {
			if got := retryAfter(failures, random); got < span/2 || got >= span {
				t.Errorf("failure %d: %v is not between %v and %v", failures, got, span/2, span)
			}
		}
	}
}

// pass lets time go by, and everything that is due then happen.
func pass(while time.Duration) {
	time.Sleep(while)
	synctest.Wait()
}
