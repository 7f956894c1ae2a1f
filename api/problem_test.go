package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"regexp"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
)

// TestCodes holds the table of codes to what clients rely on.
func TestCodes(t *testing.T) {
	stable := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	for code, facts := range api.Codes {
		if !stable.MatchString(string(code)) {
			t.Errorf("%q is not a name in lower case with underscores", code)
		}
		if facts.Status < 400 || facts.Status > 599 || facts.Meaning == "" {
			t.Errorf("%s: %+v", code, facts)
		}
		problem := api.NewProblem(code, "detail")
		if problem.Status != facts.Status || (problem.RetryAfter > 0) != facts.Retry {
			t.Errorf("%s: %+v", code, problem)
		}
	}
	if problem := api.NewProblem("made_up", ""); problem.Status != 500 {
		t.Errorf("an unknown code has status %d", problem.Status)
	}
}

func TestProblemJSON(t *testing.T) {
	problem := api.NewProblem(api.CodeInvalid, "%q is no weight", "x").InField("weight").WithNext("stead nodes weight %s 2", "n1")
	raw, err := json.Marshal(problem)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"type":"urn:stead:problem:invalid","title":"the request is malformed; detail names the field","status":400,` +
		`"code":"invalid","detail":"\"x\" is no weight","field":"weight","next":"stead nodes weight n1 2"}`
	if string(raw) != want {
		t.Errorf("got  %s\nwant %s", raw, want)
	}
	if text := problem.Error(); text != `weight: "x" is no weight (invalid)` {
		t.Error(text)
	}
	if text := api.NewProblem(api.CodeNoLeader, "").Error(); text != "no leader is known to this member (no_leader)" {
		t.Error(text)
	}
}

func TestProblemWriteTo(t *testing.T) {
	recorder := httptest.NewRecorder()
	api.NewProblem(api.CodeNoLeader, "no leader for %s", "2s").WriteTo(recorder)
	answer := recorder.Result()
	if answer.StatusCode != 503 || answer.Header.Get("Content-Type") != "application/problem+json" || answer.Header.Get("Retry-After") != "1" {
		t.Errorf("got %d, %v", answer.StatusCode, answer.Header)
	}
	var problem api.Problem
	if err := json.NewDecoder(answer.Body).Decode(&problem); err != nil || problem.Code != api.CodeNoLeader {
		t.Errorf("got %+v, %v", problem, err)
	}
	recorder = httptest.NewRecorder()
	api.NewProblem(api.CodeInvalid, "").WriteTo(recorder)
	if after := recorder.Result().Header.Get("Retry-After"); after != "" {
		t.Errorf("told to retry after %s", after)
	}
}

func TestRetryAfterSeconds(t *testing.T) {
	f := func(after time.Duration, want string) {
		t.Helper()
		if got := api.RetryAfterSeconds(after); got != want {
			t.Errorf("%v: %s", after, got)
		}
	}
	f(0, "1")
	f(time.Millisecond, "1")
	f(time.Second, "1")
	f(time.Second+1, "2")
	f(time.Minute, "60")
}

func TestCodeOf(t *testing.T) {
	err := fmt.Errorf("cannot register node n1: %w", api.NewProblem(api.CodeStaleBoot, "boot 3"))
	if code := api.CodeOf(err); code != api.CodeStaleBoot {
		t.Errorf("got %q", code)
	}
	if code := api.CodeOf(errors.New("other")); code != "" {
		t.Errorf("got %q", code)
	}
	if code := api.CodeOf(nil); code != "" {
		t.Errorf("got %q", code)
	}
}
