package chaos

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
)

// TestJudge: what may have been applied is never taken for refused, nor what was not for done.
func TestJudge(t *testing.T) {
	f := func(status int, code api.Code, want outcome) {
		t.Helper()
		var body []byte
		if code != "" {
			problem := api.NewProblem(code, "so it is")
			body, _ = json.Marshal(problem)
			status = problem.Status
		}
		if got, name := judge(status, body); got != want {
			t.Errorf("%d %s is %d (%s), want %d", status, code, got, name, want)
		}
	}
	f(http.StatusOK, "", outcomeAnswered)
	f(http.StatusCreated, "", outcomeAnswered)
	f(http.StatusNoContent, "", outcomeAnswered)
	f(http.StatusNotFound, "", outcomeAnswered)
	f(0, api.CodePrecondition, outcomeAnswered)
	f(0, api.CodeNotOwner, outcomeRefused)
	f(0, api.CodeSlotMoving, outcomeRefused)
	f(0, api.CodeTooFewInSync, outcomeRefused)
	f(0, api.CodeStorageFull, outcomeRefused)
	f(0, api.CodeOwnerDown, outcomeRefused)
	f(0, api.CodeNotConfirmed, outcomeRefused)
	f(0, api.CodeOutcomeUnknown, outcomeUnknown)
	f(0, api.CodeOwnerFailed, outcomeUnknown)
	f(0, api.CodeOwnerTimeout, outcomeUnknown)
	f(0, api.CodeStorageFailed, outcomeUnknown)
	f(0, api.CodeNoKey, outcomeForeign)
	f(http.StatusTeapot, "", outcomeForeign)
}

// TestJudgeError: a request is refused only if it cannot have left.
func TestJudgeError(t *testing.T) {
	closed := &http.Client{}
	_, err := closed.Get("http://127.0.0.1:1/")
	if got, _ := judgeError(err); got != outcomeRefused {
		t.Errorf("%v is %d", err, got)
	}
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if got, _ := judgeError(ctx.Err()); got != outcomeUnknown {
		t.Errorf("%v is %d", ctx.Err(), got)
	}
}
