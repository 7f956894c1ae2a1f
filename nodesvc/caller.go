package nodesvc

import (
	"net/http"
	"slices"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/transport"
)

// served are the roles whose requests reach the service: proxies, other nodes, and operators, who may
// do everything. The others have certificates to look, not to touch.
var served = []transport.Role{transport.RoleProxy, transport.RoleNode, transport.RoleOperator}

// checkCaller refuses a request that came over TLS from somebody who has no business with the service.
func checkCaller(r *http.Request) *api.Problem {
	if r.TLS == nil {
		return nil
	}
	caller, known := transport.CallerOf(r.TLS)
	if known && slices.Contains(served, caller.Role) {
		return nil
	}
	return api.NewProblem(api.CodeForbidden, "the service answers proxies, nodes and operators, not %q", caller)
}
