package httpapi

import (
	"context"
	"net/http"
	"strings"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/transport"
	"github.com/stead-io/stead/controlplane/access"
)

// anonymous is what history calls those who do not say who they are, and need not.
const anonymous = "anonymous"

// selfDeclaredMax bounds the name somebody gives itself, beside the one that was made sure of.
const selfDeclaredMax = 64

// door lets requests in: it makes sure who asks, and that they may.
type door struct {
	identified bool // callers have certificates
	tokens     *access.Tokens
}

// open reports that nobody is asked who they are.
func (d *door) open() bool { return !d.identified && d.tokens == nil }

type callerKey struct{}

// callerOf is who asks, once the door let them in; known is false where it stands open.
func callerOf(r *http.Request) (caller transport.Identity, known bool) {
	caller, known = r.Context().Value(callerKey{}).(transport.Identity)
	return caller, known
}

// admit returns the request with its caller noted, or why it is refused.
func (d *door) admit(path string, r *http.Request) (*http.Request, *api.Problem) {
	if d.open() || !d.identified && access.BetweenMembers[r.Method+" "+path] {
		return r, nil
	}
	caller, problem := d.identify(r)
	if problem != nil {
		return nil, problem
	}
	if problem := access.RuleOf(r.Method, path).Check(caller, r.PathValue("id")); problem != nil {
		return nil, problem
	}
	return r.WithContext(context.WithValue(r.Context(), callerKey{}, caller)), nil
}

// identify finds out who asks. A token is what somebody says, a certificate what they have: where both
// are there, the token counts. A member may ask for another, whom it has asked the same.
func (d *door) identify(r *http.Request) (transport.Identity, *api.Problem) {
	caller, certified := transport.CallerOf(r.TLS)
	if certified && caller.Role == transport.RoleMember {
		return onBehalf(r, caller)
	}
	if d.identified {
		r.Header.Del(api.HeaderForwarded) // only members pass requests on
	}
	r.Header.Del(api.HeaderCaller)
	scheme, shown, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case d.tokens != nil && strings.EqualFold(scheme, "Bearer"):
		if holder, known := d.tokens.Holder(strings.TrimSpace(shown)); known {
			return holder, nil
		}
		return caller, unauthenticated("the token is none of this cluster's")
	case certified:
		return caller, nil
	case d.tokens == nil:
		return caller, unauthenticated("a certificate is needed")
	}
	return caller, unauthenticated("a token, or a certificate, is needed")
}

// onBehalf reads whom a member asks for; without that it asks for itself.
func onBehalf(r *http.Request, member transport.Identity) (transport.Identity, *api.Problem) {
	text := r.Header.Get(api.HeaderCaller)
	if text == "" {
		return member, nil
	}
	word, name, _ := strings.Cut(text, " ")
	role, err := transport.ParseRole(word)
	if err != nil || name == "" {
		return member, api.NewProblem(api.CodeInvalid, "it is not a role and a name").InField(api.HeaderCaller)
	}
	return transport.Identity{Role: role, Name: name}, nil
}

func unauthenticated(detail string) *api.Problem {
	return api.NewProblem(api.CodeUnauthenticated, "%s", detail).
		WithNext("give --token-file or STEAD_TOKEN, or a certificate with --tls-cert and --tls-key")
}

// guard is admit for a handler that is not in the table of routes.
func (d *door) guard(path string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		admitted, problem := d.admit(path, r)
		if problem != nil {
			writeProblem(w, problem)
			return
		}
		next.ServeHTTP(w, admitted)
	})
}

// writeProblem answers with a problem, and with how to say who one is where that is missing.
func writeProblem(w http.ResponseWriter, problem *api.Problem) {
	if problem.Code == api.CodeUnauthenticated {
		w.Header().Set("WWW-Authenticate", `Bearer realm="stead"`)
	}
	problem.WriteTo(w)
}

// speaksFor refuses a caller of a role that speaks for another of that role.
func speaksFor(r *http.Request, role transport.Role, name string) *api.Problem {
	caller, known := callerOf(r)
	if !known {
		return nil
	}
	return access.Speaks(caller, role, name)
}

// actor is who asks, as history will name it: whom the door made sure of, with what they call
// themselves in parentheses; else only that.
func actor(r *http.Request) string {
	declared := strings.Map(printable, r.Header.Get(api.HeaderActor))
	caller, known := callerOf(r)
	switch {
	case !known && declared == "":
		return anonymous
	case !known:
		return api.Clip(declared)
	}
	sure := caller.String()
	if declared = strings.Map(noParenthesis, declared); declared == "" || declared == sure || declared == caller.Name {
		return sure
	}
	return sure + " (" + declared[:min(len(declared), selfDeclaredMax)] + ")"
}

func printable(c rune) rune {
	if c < ' ' || c > '~' {
		return '?'
	}
	return c
}

func noParenthesis(c rune) rune {
	if c == '(' || c == ')' {
		return '?'
	}
	return c
}
