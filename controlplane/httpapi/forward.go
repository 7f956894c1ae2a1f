package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/stead-io/stead/api"
)

// refusalMax bounds what is read of a leader's 503 before it is relayed, in octets.
const refusalMax = 64 << 10

// forwarder passes requests on to the leader.
type forwarder struct {
	control Control
	http    *http.Client
	patient *http.Client // for snapshots, whose time its request's context bounds
	// identified: members know each other by certificates, and believe each other who is asking.
	identified bool
}

// pass sends the request to the leader and relays its answer. A request is passed on once: members
// that disagree about who leads answer no_leader instead of sending it in circles.
func (f *forwarder) pass(w http.ResponseWriter, r *http.Request) error {
	base, known := f.control.LeaderURL()
	if !known || r.Header.Get(api.HeaderForwarded) != "" {
		return api.NewProblem(api.CodeNoLeader, "member %s knows no leader now", f.control.ID())
	}
	if r.URL.Path == snapshotPath {
		return f.passLong(w, r, base)
	}
	body, problem := wholeBody(r)
	if problem != nil {
		return problem
	}
	return f.send(w, r, f.http, base, bytes.NewReader(body), int64(len(body)))
}

// send asks the leader, as long as it leads, and relays what it says.
func (f *forwarder) send(w http.ResponseWriter, r *http.Request, via *http.Client, base string, body io.Reader, size int64) error {
	ctx, stop := f.whileLeading(r.Context())
	defer stop()
	request, err := http.NewRequestWithContext(ctx, r.Method, base+r.URL.RequestURI(), body)
	if err != nil {
		return err
	}
	request.ContentLength = size
	request.Header = r.Header.Clone()
	for _, name := range hopByHop {
		request.Header.Del(name)
	}
	request.Header.Set(api.HeaderForwarded, string(f.control.ID()))
	if caller, known := callerOf(r); known && f.identified {
		request.Header.Set(api.HeaderCaller, caller.String())
		request.Header.Del("Authorization")
	}
	response, err := via.Do(request)
	if err != nil {
		return passFailed(r, err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusServiceUnavailable {
		return refused(w, response)
	}
	relay(w, response, response.Body)
	return nil
}

// refused is the problem of a leader that lost its place; any other 503 is relayed.
func refused(w http.ResponseWriter, response *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(response.Body, refusalMax))
	problem := &api.Problem{}
	if err == nil && json.Unmarshal(body, problem) == nil && (problem.Code == api.CodeNoLeader || problem.Code == api.CodeAmbiguous) {
		problem.Status = response.StatusCode
		return problem
	}
	relay(w, response, io.MultiReader(bytes.NewReader(body), response.Body))
	return nil
}

// leaderCheck is how often a request under way looks whether its leader still is one.
const leaderCheck = 50 * time.Millisecond

// whileLeading ends when the leader is no longer the one it was: one that hangs must not hold up
// requests that its successor would answer.
func (f *forwarder) whileLeading(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := context.WithCancel(ctx)
	leader := f.control.Leader()
	ticker := time.NewTicker(leaderCheck)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		defer ticker.Stop()
		for f.control.Leader() == leader {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
		stop()
	}()
	return ctx, func() {
		stop()
		<-watched
	}
}

var hopByHop = []string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// passFailed tells a leader that never saw the request from one that may have acted on it.
func passFailed(r *http.Request, err error) error {
	var operation *net.OpError
	dialFailed := errors.As(err, &operation) && operation.Op == "dial"
	if dialFailed || r.Method == http.MethodGet {
		return api.NewProblem(api.CodeNoLeader, "the leader cannot be reached")
	}
	return api.NewProblem(api.CodeAmbiguous, "the leader broke off before it answered")
}

func relay(w http.ResponseWriter, response *http.Response, body io.Reader) {
	header := w.Header()
	for name, values := range response.Header {
		header[name] = values
	}
	w.WriteHeader(response.StatusCode)
	_, _ = io.Copy(w, body) // the client may be gone
}
