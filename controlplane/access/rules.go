// Package access decides who may ask what of the control API: the table from request to roles, and the
// tokens that people and processes without a certificate show.
//
// It owns no HTTP and no certificates; who somebody is comes from api/transport or from a token. Its
// invariant: what the table does not name is for operators, but for reading, which is for everybody who
// is somebody; and a token is never said aloud.
package access

import (
	"slices"
	"strings"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/transport"
)

// Anybody is the name of a token that may speak for every node, or every proxy.
const Anybody = "*"

// Rule says who may make a request.
type Rule struct {
	// Roles may, each on behalf of all.
	Roles []transport.Role
	// Self may, if the request is about itself.
	Self transport.Role
}

var (
	operators = []transport.Role{transport.RoleOperator}
	everybody = transport.Roles
)

// Exceptions are the requests that neither only look, nor are for operators alone, by method and path.
// What a request's own address does not say of whom it is about, its handler checks with Speaks.
var Exceptions = map[string]Rule{
	"POST /v1/nodes":             {Roles: operators, Self: transport.RoleNode},
	"POST /v1/nodes/{id}/beat":   {Roles: operators, Self: transport.RoleNode},
	"POST /v1/nodes/{id}/report": {Roles: operators, Self: transport.RoleNode},
	"POST /v1/nodes/{id}/slots":  {Roles: operators, Self: transport.RoleNode},
	"GET /v1/snapshot":           {Roles: operators}, // it holds the hash key
	"POST /v1/nodes/{id}/drain":  {Roles: operators, Self: transport.RoleNode},
	"DELETE /v1/nodes/{id}":      {Roles: operators, Self: transport.RoleNode},
	"POST /v1/slots/cas":         {Self: transport.RoleNode}, // a configuration is its node's word, and nobody else's
	"POST /v1/proxies/{id}/beat": {Roles: operators, Self: transport.RoleProxy},
	"POST /v1/peers":             {Self: transport.RoleMember},
}

// BetweenMembers are what members ask each other by themselves. They have no tokens: where they have no
// certificates either, nobody is asked who they are.
var BetweenMembers = map[string]bool{"POST /v1/peers": true, "GET /v1/roster": true}

// RuleOf finds the rule of a request.
func RuleOf(method, path string) Rule {
	if rule, found := Exceptions[method+" "+path]; found {
		return rule
	}
	if method == "GET" || method == "HEAD" {
		return Rule{Roles: everybody}
	}
	return Rule{Roles: operators}
}

// Check refuses a caller whom the rule does not name; about is whom the request's address names, if
// any.
func (r Rule) Check(caller transport.Identity, about string) *api.Problem {
	if slices.Contains(r.Roles, caller.Role) {
		return nil
	}
	if caller.Role == r.Self {
		if about == "" {
			return nil
		}
		return Speaks(caller, r.Self, about)
	}
	return api.NewProblem(api.CodeForbidden, "%s is no %s", caller, r.needed())
}

func (r Rule) needed() string {
	var words []string
	for _, role := range r.Roles {
		words = append(words, string(role))
	}
	if r.Self != "" {
		words = append(words, string(r.Self))
	}
	return strings.Join(words, " or ")
}

// Speaks refuses a caller of the given role that speaks for another than itself; those of other roles
// pass, having been let in by the rule.
func Speaks(caller transport.Identity, role transport.Role, about string) *api.Problem {
	if caller.Role != role || caller.Name == about || caller.Name == Anybody {
		return nil
	}
	return api.NewProblem(api.CodeForbidden, "%s cannot speak for %s %s", caller, role, api.Clip(about))
}
