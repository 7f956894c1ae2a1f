package nodesvc

import (
	"context"
	"net/http"
	"strconv"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// Route is what the guard found out about a request it let through.
type Route struct {
	Key   []byte // octets of the sharding key
	Hash  uint64 // its place on the circle
	Slot  api.Slot
	Epoch api.Epoch // the epoch the node served it in
}

// RouteOf returns the route of a guarded request; ok is false for one without a sharding key, which
// only a cluster with no_key=any lets through.
func RouteOf(ctx context.Context) (route Route, ok bool) {
	p := passageOf(ctx)
	if p == nil || p.route.Key == nil {
		return Route{}, false
	}
	return p.route, true
}

// KeyOf is the sharding key of a guarded request, nil if it has none.
func KeyOf(ctx context.Context) []byte {
	route, _ := RouteOf(ctx)
	return route.Key
}

// SlotOf is the slot of a guarded request; ok is false if it has no key.
func SlotOf(ctx context.Context) (slot api.Slot, ok bool) {
	route, ok := RouteOf(ctx)
	return route.Slot, ok
}

// readRoute reads what the proxy stamped on a request, and hashes the key again: the stamp is
// believed for its epoch, never for the slot. A request that carries no key has a nil Key.
func readRoute(header http.Header, view *ring.View) (Route, *api.Problem) {
	keys := header[api.HeaderKey]
	switch {
	case len(keys) == 0 && view.Settings.NoKey == api.NoKeyAny:
		return Route{}, nil
	case len(keys) == 0:
		return Route{}, api.NewProblem(api.CodeNoKey, "the request has no %s header", api.HeaderKey).
			WithNext("send the request to a proxy, which finds the key and the node: stead proxies lists them")
	case len(keys) > 1:
		return Route{}, badKey("%s stands %d times", api.HeaderKey, len(keys))
	}
	key, err := api.DecodeKey(keys[0])
	if err != nil {
		return Route{}, badKey("%s: %v", api.HeaderKey, err)
	}
	route := Route{Key: key, Hash: view.Hash(key)}
	route.Slot = view.Table.Bits.Of(route.Hash)
	slot, stamped, problem := readNumber(header, api.HeaderSlot)
	if problem != nil {
		return Route{}, problem
	}
	if stamped && slot != uint64(route.Slot) {
		return Route{}, badKey("%s says %d, but the key hashes to slot %d", api.HeaderSlot, slot, route.Slot)
	}
	epoch, _, problem := readNumber(header, api.HeaderEpoch)
	route.Epoch = api.Epoch(epoch)
	return route, problem
}

func readNumber(header http.Header, name string) (number uint64, stamped bool, problem *api.Problem) {
	values := header[name]
	if len(values) == 0 {
		return 0, false, nil
	}
	number, err := strconv.ParseUint(values[0], 10, 53)
	if err != nil || len(values) > 1 {
		return 0, true, badKey("%s is not one number", name)
	}
	return number, true, nil
}

func badKey(format string, args ...any) *api.Problem {
	return api.NewProblem(api.CodeBadKey, format, args...)
}
