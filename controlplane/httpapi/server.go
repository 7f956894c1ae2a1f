package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/access"
)

// Limits of the HTTP server.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	idleTimeout       = 2 * time.Minute
	headerMax         = 256 << 10 // a key of any length is refused by name, not by the server
	bodyMax           = 1 << 20
)

// Config says what the API serves.
type Config struct {
	Control Control
	// HTTP reaches the leader for forwarded requests.
	HTTP *http.Client
	// Collectors are metrics of the member's other parts.
	Collectors []prometheus.Collector
	// Identified: callers have certificates, checked by the listener. Tokens are those they may show
	// instead. With neither, everybody may do everything.
	Identified bool
	Tokens     *access.Tokens
	// CertificateExpires is when this member's certificate does. Nil: it has none.
	CertificateExpires func() time.Time
	Logger             *slog.Logger
}

// Server answers the control API.
type Server struct {
	control Control
	door    *door
	forward *forwarder
	fanout  *fanout // of the ring
	slots   *fanout
	metrics *metrics
	logger  *slog.Logger
	http    *http.Server
	// decoders are the places for large bodies.
	decoders chan struct{}
	// subscribers is a place for each reader of events.
	subscribers subscribers
}

// New makes the server; Run must run for long-polls to be answered.
func New(config Config) *Server {
	s := &Server{
		control: config.Control,
		door:    &door{identified: config.Identified, tokens: config.Tokens},
		forward: &forwarder{control: config.Control, http: config.HTTP, patient: patient(config.HTTP), identified: config.Identified},
		fanout:  newFanout(config.Control, ringFeed),
		slots:   newFanout(config.Control, slotFeed),
		logger:  config.Logger,

		decoders: make(chan struct{}, decodersMax),
	}
	s.metrics = newMetrics(config.Control, s.fanout, s.slots, config.CertificateExpires)
	s.metrics.registry.MustRegister(config.Collectors...)
	s.subscribers = newSubscribers(s.metrics.registry)
	s.http = &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerMax,
		ErrorLog:          slog.NewLogLogger(config.Logger.Handler(), slog.LevelDebug),
	}
	return s
}

// HTTP is the server to run on the member's listener.
func (s *Server) HTTP() *http.Server { return s.http }

// Run publishes the ring and the slots to whoever waits, until ctx ends; then it ends all waiting.
func (s *Server) Run(ctx context.Context) {
	var publishing sync.WaitGroup
	publishing.Go(func() { s.slots.run(ctx) })
	s.fanout.run(ctx)
	publishing.Wait()
}

// handle is a handler that returns its error.
type handle func(w http.ResponseWriter, r *http.Request) error

// where says which member answers a request.
type where int

const (
	here     where = iota // any member, from its own state
	leader                // the leader; other members pass the request on, and wait for one
	promptly              // the leader; who asks turns to another member at once when there is none
	readable              // the leader, unless ?consistency=stale asks for any
)

type route struct {
	method, path string
	at           where
	handle       handle
}

func (s *Server) routes() []route {
	return []route{
		{"POST", "/v1/nodes", leader, s.registerNode},
		{"GET", "/v1/nodes", readable, s.listNodes},
		{"GET", "/v1/nodes/{id}", readable, s.showNode},
		{"PATCH", "/v1/nodes/{id}", leader, s.patchNode},
		{"DELETE", "/v1/nodes/{id}", leader, s.removeNode},
		{"POST", "/v1/nodes/{id}/beat", promptly, s.beatNode},
		{"POST", "/v1/nodes/{id}/drain", leader, s.drainNode},
		{"POST", "/v1/nodes/{id}/undrain", leader, s.undrainNode},
		{"POST", "/v1/nodes/{id}/evict", leader, s.evictNode},
		{"POST", "/v1/nodes/{id}/maintenance", leader, s.maintainNode},

		{"GET", "/v1/ring", here, s.pollRing},
		{"GET", "/v1/ring/versions", readable, s.listVersions},
		{"GET", "/v1/ring/versions/{version}", readable, s.showVersion},
		{"GET", "/v1/ring/changes", readable, s.listChanges},
		{"GET", "/v1/ring/changes/{id}", readable, s.showChange},
		{"POST", "/v1/ring/changes/{id}/cancel", leader, s.cancelChange},
		{"GET", "/v1/ring/diff", readable, s.diffRing},
		{"GET", "/v1/ring/locate", readable, s.locateKey},
		{"POST", "/v1/ring/rebalance", leader, s.rebalanceRing},
		{"GET", "/v1/events", here, s.streamEvents},
		{"GET", slotsPath, here, s.pollSlots},
		{"GET", slotsPath + "/{slot}", readable, s.showSlot},
		{"POST", slotsPath + "/cas", promptly, s.proposeSlots},
		{"POST", slotsPath + "/{slot}/force", leader, s.forceSlot},
		{"POST", "/v1/ring/plan", leader, s.planRing},
		{"POST", "/v1/ring/rollback", leader, s.rollbackRing},

		{"POST", "/v1/proxies/{id}/beat", promptly, s.beatProxy},
		{"GET", "/v1/proxies", leader, s.listProxies},
		{"GET", "/v1/roster", promptly, s.pollRoster},

		{"GET", "/v1/cluster", readable, s.showCluster},
		{"PATCH", "/v1/cluster", leader, s.setCluster},
		{"GET", "/v1/members", readable, s.listMembers},
		{"POST", "/v1/members", leader, s.addMember},
		{"DELETE", "/v1/members/{id}", leader, s.removeMember},
		{"POST", "/v1/leader/transfer", leader, s.transferLeader},
		{"POST", "/v1/peers", here, s.exchangePeers},

		{"GET", snapshotPath, readable, s.saveSnapshot},
		{"PUT", snapshotPath, leader, s.restoreSnapshot},
		{"POST", reportPath, promptly, s.reportNode},
		{"POST", slotReportPath, promptly, s.reportSlots},
	}
}

func (s *Server) handler() http.Handler {
	byPath := make(map[string]map[string]http.Handler)
	for _, route := range s.routes() {
		if byPath[route.path] == nil {
			byPath[route.path] = make(map[string]http.Handler)
		}
		byPath[route.path][route.method] = s.metrics.measure(route.path, s.serve(route))
	}
	mux := http.NewServeMux()
	for path, methods := range byPath {
		mux.Handle(path, methodSwitch(methods))
	}
	mux.Handle("/livez", methodSwitch(map[string]http.Handler{"GET": http.HandlerFunc(livez)}))
	mux.Handle("/readyz", methodSwitch(map[string]http.Handler{"GET": http.HandlerFunc(s.readyz)}))
	mux.Handle("/metrics", methodSwitch(map[string]http.Handler{
		"GET": s.door.guard("/metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{})),
	}))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		api.NewProblem(api.CodeNotFound, "%s is not a path of the control API", api.Clip(r.URL.Path)).WriteTo(w)
	})
	return s.stamp(mux)
}

// methodSwitch answers 405 with the methods there are.
func methodSwitch(methods map[string]http.Handler) http.Handler {
	var allowed []string
	for method := range methods {
		allowed = append(allowed, method)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		if handler, known := methods[method]; known {
			handler.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		api.NewProblem(api.CodeMethodNotAllowed, "%s takes %s", api.Clip(r.URL.Path), strings.Join(allowed, ", ")).WriteTo(w)
	})
}

// stamp puts on every answer where it comes from.
func (s *Server) stamp(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		state := s.control.State()
		header := w.Header()
		header.Set(api.HeaderCluster, string(state.Cluster))
		header.Set(api.HeaderIndex, strconv.FormatUint(state.Index, 10))
		header.Set(api.HeaderLeader, string(s.control.Leader()))
		next.ServeHTTP(w, r)
	})
}

// serve finds the member that answers, and writes whatever error comes of it.
func (s *Server) serve(route route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := r.Body
		err := boundBody(route.path, w, r)
		if err == nil {
			err = s.answer(route, w, r)
		}
		if err != nil || route.path == snapshotPath { // one passed on may be answered early, too
			linger(route.path, w, body)
		}
		if err == nil {
			return
		}
		var problem *api.Problem
		if !errors.As(err, &problem) {
			s.logger.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
			problem = api.NewProblem(api.CodeInternal, "%s %s failed", r.Method, api.Clip(r.URL.Path))
		}
		writeProblem(w, problem)
	})
}

func (s *Server) answer(route route, w http.ResponseWriter, r *http.Request) error {
	r, problem := s.door.admit(route.path, r)
	if problem != nil {
		return problem
	}
	if problem := checkQuery(r); problem != nil {
		return problem
	}
	consistency := r.URL.Query().Get("consistency")
	switch consistency {
	case "", "default", "stale", "linearizable":
	default:
		return api.NewProblem(api.CodeInvalid, "%q is not stale, default or linearizable", api.Clip(consistency)).InField("consistency")
	}
	switch {
	case route.at == here && consistency != "linearizable" || route.at == readable && consistency == "stale":
		return s.perform(route, consistency, w, r)
	case route.at == here || route.at == promptly:
		return s.lead(route, consistency, w, r)
	default:
		return s.leadWithPatience(route, consistency, w, r)
	}
}

// lead has the leader perform a request: this member, or the one that it is passed on to.
func (s *Server) lead(route route, consistency string, w http.ResponseWriter, r *http.Request) error {
	if !s.control.IsLeader() {
		return s.forward.pass(w, r)
	}
	return s.perform(route, consistency, w, r)
}

// perform carries a request out here.
func (s *Server) perform(route route, consistency string, w http.ResponseWriter, r *http.Request) error {
	if route.path != "/v1/peers" && s.control.State().Cluster == "" {
		return api.NewProblem(api.CodeNoLeader, "this member knows no cluster yet: it is not founded, or its log was not caught up with")
	}
	r, problem := withConditions(r)
	if problem != nil {
		return problem
	}
	if consistency == "linearizable" && r.Method == http.MethodGet {
		if err := s.control.Linearize(r.Context()); err != nil {
			return err
		}
	}
	return route.handle(w, r)
}

func livez(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) }

// readyz: this member can serve reads, pass writes on, and be counted on for the majority.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	_, leaderKnown := s.control.LeaderURL()
	switch {
	case s.control.State().Cluster == "" || !s.control.InTouch() || !leaderKnown && !s.control.IsLeader():
		api.NewProblem(api.CodeNoLeader, "this member is in touch with no leader").WriteTo(w)
		return
	case !s.control.CaughtUp():
		api.NewProblem(api.CodeNoLeader, "this member does not follow the log; is its disk full?").WriteTo(w)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}
