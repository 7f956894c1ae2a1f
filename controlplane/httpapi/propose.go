package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/fsm"
)

// keyMax bounds an idempotency key.
const keyMax = 255

// propose has a command replicated for whoever sent the request, on the request's conditions.
func (s *Server) propose(w http.ResponseWriter, r *http.Request, command fsm.Command) (fsm.Result, error) {
	return s.proposeFor(w, r, actor(r), command)
}

func (s *Server) proposeFor(w http.ResponseWriter, r *http.Request, actor string, command fsm.Command) (fsm.Result, error) {
	origin := conditions(r.Context())
	origin.Actor = actor
	result, err := s.control.Propose(r.Context(), origin, command)
	if err == nil && result.Replayed {
		w.Header().Set(api.HeaderReplayed, "true")
	}
	return result, err
}

type conditionsKey struct{}

// conditions are what the request's headers ask, as withConditions found them.
func conditions(ctx context.Context) fsm.Origin {
	origin, _ := ctx.Value(conditionsKey{}).(fsm.Origin)
	return origin
}

// withConditions reads Idempotency-Key and If-Match of a write. The body is read here when there is a
// key: what the key stands for is the whole request.
func withConditions(r *http.Request) (*http.Request, *api.Problem) {
	if r.Method == http.MethodGet {
		return r, nil
	}
	key, problem := condition(r, api.HeaderIdempotencyKey)
	if problem != nil {
		return nil, problem
	}
	match, problem := condition(r, "If-Match")
	if problem != nil {
		return nil, problem
	}
	if key == "" && match == "" {
		return r, nil
	}
	var origin fsm.Origin
	if match != "" {
		base, err := strconv.ParseUint(strings.Trim(match, `"`), 10, 53)
		if err != nil || base == 0 || match != strconv.Quote(strconv.FormatUint(base, 10)) {
			return nil, api.NewProblem(api.CodeInvalid, `%s is not the id of a change in quotes, such as "41"`, api.Clip(match)).InField("If-Match")
		}
		origin.Base = api.ChangeID(base)
	}
	if key != "" && r.URL.Path == snapshotPath {
		return nil, api.NewProblem(api.CodeInvalid, "a restore is no command of the log; it takes no key").InField(api.HeaderIdempotencyKey)
	}
	if key != "" {
		body, problem := wholeBody(r)
		if problem != nil {
			return nil, problem
		}
		if len(key) > keyMax || strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c > '~' }) {
			return nil, api.NewProblem(api.CodeInvalid, "it is not 1 to %d visible ASCII characters", keyMax).InField(api.HeaderIdempotencyKey)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		origin.Key, origin.Request = key, digest(r, body)
	}
	return r.WithContext(context.WithValue(r.Context(), conditionsKey{}, origin)), nil
}

// condition is the value of a header, "" without one. One that is empty, or stands twice, is refused: whoever
// sent it relies on a condition that would not be what they think.
func condition(r *http.Request, name string) (string, *api.Problem) {
	values := r.Header.Values(name)
	switch {
	case len(values) == 0:
		return "", nil
	case len(values) > 1:
		return "", api.NewProblem(api.CodeInvalid, "it stands %d times", len(values)).InField(name)
	case values[0] == "":
		return "", api.NewProblem(api.CodeInvalid, "it is empty").InField(name)
	}
	return values[0], nil
}

// digest tells requests apart that come with the same key.
func digest(r *http.Request, body []byte) string {
	sum := sha256.New()
	_, _ = io.WriteString(sum, r.Method+" "+r.URL.RequestURI()+"\n")
	if caller, known := callerOf(r); known {
		_, _ = io.WriteString(sum, caller.String()+"\n") // nobody is told what became of another's request
	}
	_, _ = sum.Write(body)
	return hex.EncodeToString(sum.Sum(nil)[:16])
}
