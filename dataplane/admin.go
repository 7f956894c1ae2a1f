package dataplane

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/stead-io/stead/api"
)

// adminHandler serves health, metrics, and what the proxy routes by.
func (p *Proxy) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", p.readyz)
	mux.Handle("GET /metrics", p.metrics.handler())
	mux.HandleFunc("GET /v1/route", p.route)
	mux.HandleFunc("GET /v1/ring", p.ring)
	mux.HandleFunc("GET /v1/config", p.showConfig)
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
	key, problem := api.AskedKey(r.URL.Query())
	if problem != nil {
		problem.WriteTo(w)
		return
	}
	writeJSON(w, table.View.Location(key))
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

func writeJSON(w http.ResponseWriter, answer any) {
	body, err := json.Marshal(answer)
	if err != nil {
		api.NewProblem(api.CodeInternal, "%v", err).WriteTo(w)
		return
	}
	w.Header().Set("Content-Type", api.TypeJSON)
	_, _ = w.Write(append(body, '\n'))
}
