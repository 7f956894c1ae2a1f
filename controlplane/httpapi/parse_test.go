package httpapi

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
)

func TestParseAccept(t *testing.T) {
	f := func(header string, want accepted, ok bool) {
		t.Helper()
		got, problem := parseAccept(header)
		if (problem == nil) != ok || ok && got != want {
			t.Errorf("%q: got %+v, %v", header, got, problem)
		}
	}
	f("", accepted{full: api.TypeJSON}, true)
	f("*/*", accepted{full: api.TypeJSON}, true)
	f(api.TypeRing, accepted{full: api.TypeRing}, true)
	f(api.TypeRing+"; v=1", accepted{full: api.TypeRing}, true)
	f(api.TypeRing+";v=2", accepted{}, false)
	f(api.TypeRingDelta, accepted{delta: true}, true)
	f(api.TypeRingDelta+", "+api.TypeRing, accepted{delta: true, full: api.TypeRing}, true)
	f("text/html, application/json;q=0.5", accepted{full: api.TypeJSON}, true)
	f("application/json;q=0", accepted{}, false)
	f("text/html", accepted{}, false)
	f(";;;", accepted{}, false)
}

func TestAcceptsGzip(t *testing.T) {
	f := func(header string, want bool) {
		t.Helper()
		if got := acceptsGzip(header); got != want {
			t.Errorf("%q: got %v", header, got)
		}
	}
	f("", false)
	f("gzip", true)
	f("br, gzip;q=0.5", true)
	f("gzip; q=0", false)
	f("x-gzip", false)
}

func TestMatchesETag(t *testing.T) {
	f := func(header string, want bool) {
		t.Helper()
		if got := matchesETag(header, `"1-7"`); got != want {
			t.Errorf("%q: got %v", header, got)
		}
	}
	f("", false)
	f(`"1-7"`, true)
	f(`W/"1-7"`, true)
	f(`"1-6", "1-7"`, true)
	f("*", true)
	f(`"1-77"`, false)
}

func TestParsePoll(t *testing.T) {
	current := api.Version{Generation: 2, Number: 9}
	f := func(query string, want api.Version, polling bool, wait time.Duration, ok bool) {
		t.Helper()
		r := httptest.NewRequest("GET", "/v1/ring"+query, nil)
		after, isPoll, problem := parseAfter(r, current)
		waiting, waitProblem := parseWait(r)
		if (problem == nil && waitProblem == nil) != ok {
			t.Fatalf("%q: got %v %v", query, problem, waitProblem)
		}
		if ok && (after != want || isPoll != polling || waiting != wait) {
			t.Errorf("%q: got %v %v %v", query, after, isPoll, waiting)
		}
	}
	f("", current, false, pollWaitDefault, true)
	f("?after=7", api.Version{Generation: 2, Number: 7}, true, pollWaitDefault, true)
	f("?after=1-7&wait=2s", api.Version{Generation: 1, Number: 7}, true, 2*time.Second, true)
	f("?after=", current, true, 0, false)
	f("?after=-1", current, true, 0, false)
	f("?after="+strings.Repeat("9", 40), current, true, 0, false)
	f("?after=1&wait=-1s", current, true, 0, false)
	f("?after=1&wait=10h", current, true, 0, false)
}

func TestDecodeNamesTheField(t *testing.T) {
	f := func(body, field string, code api.Code) {
		t.Helper()
		var target api.Registration
		problem := decodeStrict(httptest.NewRequest("POST", "/", strings.NewReader(body)), &target)
		if problem == nil && code == "" {
			return
		}
		if problem == nil || problem.Code != code || problem.Field != field {
			t.Errorf("%q: got %v", body, problem)
		}
	}
	f(`{"id":"n1"}`, "", "")
	f(``, "", "")
	f(`{"weight":"heavy"}`, "weight", api.CodeInvalid)
	f(`{"check":{"failures":"x"}}`, "check.failures", api.CodeInvalid)
	f(`{"colour":1}`, "colour", api.CodeInvalid)
	f(`{"id":"n1"`, "", api.CodeInvalid)
	f(`{"id":"n1"}]`, "", api.CodeInvalid)
	f(`nonsense`, "", api.CodeInvalid)
}

func TestRepeatedNames(t *testing.T) {
	f := func(body, want string) {
		t.Helper()
		if got, _ := repeated([]byte(body)); got != want {
			t.Errorf("%s: got %q, want %q", body, got, want)
		}
	}
	f(`{"a":1,"b":{"a":2},"c":[{"a":1},{"a":2}],"d":"a"}`, "")
	f(`["a","a",["a"],{"a":"a"}]`, "")
	f(`"a"`, "")
	f(`{"a":1,"a":1}`, "a")
	f(`{"a":{},"b":[],"a":1}`, "a")
	f(`{"a":{"b":1,"c":[1,{}],"b":2}}`, "b")
	f(`{"a":[{"b":1},{"c":1,"\u0063":2}]}`, "c")
	var target struct{ Weight int }
	body := `{"weight":1,"weight":2}`
	if problem := decodeStrict(httptest.NewRequest("POST", "/", strings.NewReader(body)), &target); problem == nil || problem.Field != "weight" {
		t.Errorf("strict: %v", problem)
	}
	if problem := decodeLenient(httptest.NewRequest("POST", "/", strings.NewReader(body)), &target); problem != nil {
		t.Errorf("lenient: %v", problem)
	}
}

func TestConditionsThatCannotStand(t *testing.T) {
	f := func(name string, values ...string) {
		t.Helper()
		r := httptest.NewRequest("POST", "/v1/ring/rebalance", nil)
		r.Header[name] = values
		if _, problem := withConditions(r); problem == nil || problem.Code != api.CodeInvalid || problem.Field != name {
			t.Errorf("%s %q: %v", name, values, problem)
		}
	}
	f(api.HeaderIdempotencyKey, "")
	f(api.HeaderIdempotencyKey, "a", "b")
	f("If-Match", "")
	f("If-Match", `"1"`, `"2"`)
}
