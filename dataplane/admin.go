package dataplane

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"unicode/utf8"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// adminHandler serves health, metrics, and what the proxy routes by.
func (p *Proxy) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", p.readyz)
	mux.Handle("GET /metrics", p.metrics.handler())
	mux.HandleFunc("GET /v1/route", p.route)
	mux.HandleFunc("GET /v1/ring", p.ring)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		api.NewProblem(api.CodeNotFound, "%s %s is not served here", r.Method, api.Clip(r.URL.Path)).WriteTo(w)
	})
	return mux
}

// readyz answers whether clients should be sent here.
func (p *Proxy) readyz(w http.ResponseWriter, _ *http.Request) {
	if p.leaving.Load() {
		api.NewProblem(api.CodeDraining, "this proxy is leaving").WriteTo(w)
		return
	}
	if p.routes.Table() == nil {
		noRing().WriteTo(w)
		return
	}
	_, _ = fmt.Fprintln(w, "ok")
}

// route answers GET /v1/route?key= or ?key_hex=: where a request with that key would go now.
func (p *Proxy) route(w http.ResponseWriter, r *http.Request) {
	table := p.routes.Table()
	if table == nil {
		noRing().WriteTo(w)
		return
	}
	key, problem := askedKey(r)
	if problem != nil {
		problem.WriteTo(w)
		return
	}
	writeJSON(w, locate(table.View, key))
}

// ring answers GET /v1/ring: the ring in force here.
func (p *Proxy) ring(w http.ResponseWriter, _ *http.Request) {
	table := p.routes.Table()
	if table == nil {
		noRing().WriteTo(w)
		return
	}
	w.Header().Set("ETag", table.View.Table.Version.ETag())
	writeJSON(w, table.View.JSON())
}

func askedKey(r *http.Request) ([]byte, *api.Problem) {
	query := r.URL.Query()
	if query.Has("key") == query.Has("key_hex") {
		return nil, api.NewProblem(api.CodeInvalid, "one of key and key_hex is needed").InField("key")
	}
	key := []byte(query.Get("key"))
	if query.Has("key_hex") {
		raw, err := hex.DecodeString(query.Get("key_hex"))
		if err != nil {
			return nil, api.NewProblem(api.CodeInvalid, "it is not hexadecimal").InField("key_hex")
		}
		key = raw
	}
	if len(key) == 0 || len(key) > api.KeyLengthMax {
		return nil, api.NewProblem(api.CodeBadKey, "a key is 1 to %d octets", api.KeyLengthMax)
	}
	return key, nil
}

func locate(view *ring.View, key []byte) api.Location {
	slot, epoch, _, _ := view.Locate(key)
	location := api.Location{
		KeyHex: hex.EncodeToString(key), Hash: fmt.Sprintf("%016x", view.Hash(key)),
		Slot: slot, Epoch: epoch, Version: view.Table.Version, Replicas: []api.LocationNode{},
	}
	if utf8.Valid(key) {
		location.Key = string(key)
	}
	for _, index := range view.Table.ReplicasOf(slot) {
		if node, listed := view.Table.Node(index); listed {
			location.Replicas = append(location.Replicas, api.LocationNode{
				ID: node.ID, Address: node.Address, Status: node.Status.String(),
			})
		}
	}
	return location
}

func writeJSON(w http.ResponseWriter, answer any) {
	body, err := json.Marshal(answer)
	if err != nil {
		api.NewProblem(api.CodeInternal, "%v", err).WriteTo(w)
		return
	}
	w.Header().Set("Content-Type", api.TypeJSON)
	_, _ = w.Write(append(body, '\n'))
}
