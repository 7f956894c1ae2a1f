package chaos

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"

	"github.com/stead-io/stead/api"
)

// outcome is what is known of a request after it came back, or did not.
type outcome uint8

const (
	outcomeAnswered outcome = iota // it says what happened
	outcomeRefused                 // nothing happened
	outcomeUnknown                 // nobody knows
	outcomeForeign                 // no correct cluster answers so
)

// unknowns are the codes of requests that may have been applied or not.
var unknowns = map[api.Code]bool{
	api.CodeOutcomeUnknown: true, api.CodeOwnerFailed: true, api.CodeOwnerTimeout: true, api.CodeAmbiguous: true,
	api.CodeStorageFailed: true, api.CodeInternal: true,
}

// judge says what an answer means, and names it for the counts.
func judge(status int, body []byte) (outcome, string) {
	switch status {
	case http.StatusOK, http.StatusCreated, http.StatusNoContent:
		return outcomeAnswered, "success"
	}
	var problem api.Problem
	if json.Unmarshal(body, &problem) != nil || problem.Code == "" {
		if status == http.StatusNotFound {
			return outcomeAnswered, "nothing there"
		}
		return outcomeForeign, http.StatusText(status)
	}
	name := string(problem.Code)
	switch {
	case status == http.StatusNotFound:
		return outcomeAnswered, "nothing there"
	case problem.Code == api.CodePrecondition:
		return outcomeAnswered, name
	case unknowns[problem.Code]:
		return outcomeUnknown, name
	case problem.Retryable():
		return outcomeRefused, name
	default:
		return outcomeForeign, name
	}
}

// judgeError says what it means that no answer came: nothing was sent if there was no connection.
func judgeError(err error) (outcome, string) {
	var failed *net.OpError
	if errors.As(err, &failed) && failed.Op == "dial" {
		return outcomeRefused, "no connection"
	}
	return outcomeUnknown, "no answer"
}
