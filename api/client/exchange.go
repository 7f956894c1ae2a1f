package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/transport"
)

// request is what a call asks, of whichever member.
type request struct {
	aim     string // what the caller wants, for errors: "drain node n2"
	method  string
	path    string
	query   url.Values
	body    any // sent as JSON unless nil
	raw     []byte
	kind    string // media type of raw, which is sent as it is
	accept  string
	timeout time.Duration // of one exchange with one member
	once    bool          // one round over the members, no second
	keyed   bool          // an operator's write, named by a key of its own

	conditions conditions // of this call
}

// answer is what a member said, when it said what a control plane says.
type answer struct {
	status  int
	kind    string // media type, without parameters
	cluster api.ClusterID
	body    []byte
	// replayed: the write had been carried out before.
	replayed bool
}

// errUnsent marks an exchange that never had a connection to a member that would read it: nothing of it
// was applied.
var errUnsent = errors.New("cannot connect")

// exchange asks one member once. Its error is the member's *api.Problem, or says what else came.
func (c *Client) exchange(ctx context.Context, member int, ask request) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, ask.timeout)
	defer cancel()
	sent, err := c.compose(ctx, member, ask)
	if err != nil {
		return answer{}, err
	}
	connected := false
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }}
	response, err := c.http.Do(sent.WithContext(httptrace.WithClientTrace(ctx, trace)))
	if err != nil && (!connected || transport.Refused(err)) {
		return answer{}, fmt.Errorf("%w: %w", errUnsent, plain(err))
	}
	if err != nil {
		return answer{}, plain(err)
	}
	defer response.Body.Close()
	body, err := readAtMost(response.Body, c.bodyMax)
	if err != nil {
		return answer{}, fmt.Errorf("cannot read the answer: %w", err)
	}
	got := answer{
		status:  response.StatusCode,
		kind:    mediaType(response),
		cluster: api.ClusterID(response.Header.Get(api.HeaderCluster)),
		body:    body,

		replayed: response.Header.Get(api.HeaderReplayed) == "true",
	}
	return got, got.failure()
}

func (c *Client) compose(ctx context.Context, member int, ask request) (*http.Request, error) {
	target := c.members.urls[member] + ask.path
	if level := consistency(ctx); level != "" && ask.method == http.MethodGet {
		ask.query = withValue(ask.query, "consistency", level)
	}
	if len(ask.query) > 0 {
		target += "?" + ask.query.Encode()
	}
	var body io.Reader
	if ask.body != nil {
		encoded, err := json.Marshal(ask.body)
		if err != nil {
			return nil, fmt.Errorf("cannot encode the request: %w", err)
		}
		body = bytes.NewReader(encoded)
	}
	kind := api.TypeJSON
	if ask.raw != nil {
		body, kind = bytes.NewReader(ask.raw), ask.kind
	}
	sent, err := http.NewRequestWithContext(ctx, ask.method, target, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		sent.Header.Set("Content-Type", kind)
	}
	sent.Header.Set("Accept", api.TypeJSON)
	if ask.accept != "" {
		sent.Header.Set("Accept", ask.accept)
	}
	if c.token != nil {
		if token := c.token(); token != "" {
			sent.Header.Set("Authorization", "Bearer "+token)
		}
	}
	if c.actor != "" && ask.method != http.MethodGet {
		sent.Header.Set(api.HeaderActor, c.actor)
	}
	ask.conditions.writeTo(sent.Header)
	return sent, nil
}

func withValue(query url.Values, name, value string) url.Values {
	copied := url.Values{name: {value}}
	for other, values := range query {
		copied[other] = values
	}
	return copied
}

// failure is nil for a success, else the problem the answer carries, else what it is instead.
func (a answer) failure() error {
	if a.status >= 200 && a.status < 300 {
		return nil
	}
	problem := &api.Problem{}
	if a.kind == api.ProblemType && json.Unmarshal(a.body, problem) == nil && problem.Code != "" {
		problem.Status = a.status
		return problem
	}
	if bytes.HasPrefix(a.body, []byte(clearOverTLS)) {
		return fmt.Errorf("%w: %w", errUnsent, errClear)
	}
	return fmt.Errorf("answered %d without a problem: not a Stead control plane", a.status)
}

func mediaType(response *http.Response) string {
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	return kind
}

// clearOverTLS is what net/http says to clients that do not speak TLS where it does.
const clearOverTLS = "Client sent an HTTP request to an HTTPS server"

var errClear = errors.New("it speaks TLS, and this client does not")

// distrust reports that an exchange failed over certificates.
func distrust(err error) bool {
	return errors.Is(err, errClear) || errors.Is(err, transport.ErrDistrust) || transport.Refused(err)
}

// json reads a success into what the caller expects.
func (a answer) json(into any) error {
	if err := json.Unmarshal(a.body, into); err != nil {
		return fmt.Errorf("cannot decode the answer: %w", err)
	}
	return nil
}

// passesOn says whether another member, or the same one later, may do better.
func passesOn(err error) bool {
	var problem *api.Problem
	if !errors.As(err, &problem) {
		return true
	}
	switch problem.Status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	default:
		return false
	}
}

// mayHaveReached says whether a failed exchange leaves open what became of the request.
func mayHaveReached(err error) bool {
	code := api.CodeOf(err)
	return code == api.CodeAmbiguous || code == "" && !errors.Is(err, errUnsent)
}

func readAtMost(from io.Reader, most int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(from, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > most {
		return nil, fmt.Errorf("it is longer than %d bytes", most)
	}
	return body, nil
}

// plain drops what net/http and net say of the address, which the caller's error names already.
func plain(err error) error {
	var exchange *url.Error
	if errors.As(err, &exchange) {
		err = exchange.Err
	}
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		err = dial.Err
	}
	var call *os.SyscallError
	if errors.As(err, &call) {
		err = call.Err
	}
	return err
}
