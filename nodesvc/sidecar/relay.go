package sidecar

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stead-io/stead/api"
)

// Limits of connections to the service. Answers have no deadline: the request's own counts.
const (
	dialTimeout       = 3 * time.Second
	continueTimeout   = time.Second // for servers that do not know 100-continue
	idleUpstreamMax   = 256         // connections
	upstreamHeaderMax = 256 << 10   // bytes
	// idleTimeout is below what common servers allow an idle connection (Node.js and uvicorn 5 s,
	// gunicorn 2 s), or one might close just as a request is sent.
	idleTimeout = time.Second
)

func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		DisableCompression:     true, // what the client asked for is what the service hears
		MaxIdleConnsPerHost:    idleUpstreamMax,
		IdleConnTimeout:        idleTimeout,
		ExpectContinueTimeout:  continueTimeout,
		MaxResponseHeaderBytes: upstreamHeaderMax,
	}
}

// newRelay passes requests to the service and answers back, streaming both ways.
func newRelay(upstream string, transport http.RoundTripper, logger *slog.Logger) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport:      transport,
		FlushInterval:  -1, // at once: an answer may be a stream
		ErrorLog:       slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		Rewrite:        func(r *httputil.ProxyRequest) { readdress(r, upstream) },
		ModifyResponse: cleanAnswer,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			relayProblem(r, err).WriteTo(w)
		},
	}
}

// forwarding headers are what the proxies before the sidecar wrote; ReverseProxy would drop them.
var forwarding = []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}

// sentKey leads to the *atomic.Bool that is set once a request's headers are on their way.
type sentKey struct{}

// track notes whether the request was sent. The transport may have sent it on an idle connection that
// broke, and failed to dial when it tried again.
func track(r *http.Request) *http.Request {
	sent := new(atomic.Bool)
	ctx := context.WithValue(r.Context(), sentKey{}, sent)
	return r.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteHeaders: func() { sent.Store(true) },
	}))
}

// readdress aims a request at the service and leaves all else as the client sent it: host, raw path,
// raw query. It asks for no other protocol: see upgrading.
func readdress(r *httputil.ProxyRequest, upstream string) {
	r.Out.URL.Scheme, r.Out.URL.Host = "http", upstream
	r.Out.Host = r.In.Host
	r.Out.URL.RawQuery, r.Out.URL.ForceQuery = r.In.URL.RawQuery, r.In.URL.ForceQuery
	path := rawPath(r.In.RequestURI)
	if path != r.In.URL.EscapedPath() && strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "//") {
		r.Out.URL.Opaque = path // net/url would write it another way
	}
	r.Out.Header.Del("Connection")
	r.Out.Header.Del("Upgrade")
	r.Out = track(r.Out)
	for _, name := range forwarding {
		if values := r.In.Header[name]; values != nil {
			r.Out.Header[name] = values
		}
	}
}

// rawPath is the path of an origin-form request target, as it was sent.
func rawPath(target string) string {
	path, _, _ := strings.Cut(target, "?")
	return path
}

// cleanAnswer drops what only nodes and proxies may say.
func cleanAnswer(answer *http.Response) error {
	for name := range answer.Header {
		if strings.HasPrefix(name, "Stead-") {
			delete(answer.Header, name)
		}
	}
	return nil
}

// verbatim is where answers are written to: of one that the service gave no Content-Type, none is guessed by its body.
type verbatim struct{ http.ResponseWriter }

func (v verbatim) WriteHeader(status int) {
	if header := v.Header(); status >= 200 && header["Content-Type"] == nil {
		header["Content-Type"] = nil // as servers want to be told
	}
	v.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (v verbatim) Unwrap() http.ResponseWriter { return v.ResponseWriter }

// relayProblem says whether the service may have seen a request that got no answer.
func relayProblem(r *http.Request, err error) *api.Problem {
	sent, tracked := r.Context().Value(sentKey{}).(*atomic.Bool)
	switch {
	case r.Context().Err() != nil:
		return api.NewProblem(api.CodeOwnerTimeout, "the request was given up before the service answered")
	case tracked && !sent.Load():
		return api.NewProblem(api.CodeServiceUnhealthy, "the service does not accept requests; nothing was sent")
	default:
		return api.NewProblem(api.CodeOwnerFailed, "the service broke off: %v", err)
	}
}
