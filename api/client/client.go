package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/transport"
)

// Limits of every exchange with the control plane.
const (
	attemptTimeout = 3 * time.Second        // one try at one member
	beatTimeout    = 500 * time.Millisecond // one try of a beat: three members fit in the default ttl
	fetchTimeout   = 5 * time.Second        // one try at the full ring
	callPatience   = 10 * time.Second       // all tries of a call whose context allows more

	answerSizeMax    = 64 << 20 // bytes of a decompressed answer: the diff of a full ring of 2^16 slots fits
	headerSizeMax    = 64 << 10 // bytes
	idlePerMemberMax = 4        // connections: one for the watch, one for beats, some for calls
	idleTimeout      = 90 * time.Second
	actorLengthMax   = 128 // bytes
)

// ErrUntrusted says, beside ErrUnreachable, that members were there, and that they and the client could
// not agree on who they are.
var ErrUntrusted = errors.New("the certificates do not fit")

// ErrUnreachable says that none of the members gave an answer of a control plane.
var ErrUnreachable = errors.New("no control-plane member answered")

// Config says which cluster a client talks to.
type Config struct {
	// Members are the control APIs, each as base URL or host:port; any one of them is enough, the
	// others are where the client turns when it fails.
	Members []string
	// Security is how connections to the members are protected.
	Security transport.Security
	// Token is shown to the members where it is not empty, instead of a certificate or beside one; it is
	// asked for at every request. Nil: there is none.
	Token func() string
	// Actor names who asks for changes; history repeats it. Empty: the control plane picks a name.
	Actor string
	// FailFast gives a call up when no member takes a connection, instead of waiting for one: right for
	// a person at a terminal, wrong for a process that should outlast a restart of the control plane.
	FailFast bool
	// Logger hears when the watch loses the control plane and finds it again. Nil: nobody does.
	Logger *slog.Logger
}

// Client is a connection to one control plane. It is safe for concurrent use.
type Client struct {
	members  *members
	http     *http.Client
	token    func() string
	actor    string
	failFast bool
	logger   *slog.Logger
	horizon  *horizon
	bodyMax  int64
}

// New makes a client; it connects at the first call.
func New(config Config) (*Client, error) {
	via := config.Security.Transport(transport.Identity{Role: transport.RoleMember})
	via.MaxIdleConnsPerHost = idlePerMemberMax
	via.IdleConnTimeout = idleTimeout
	via.MaxResponseHeaderBytes = headerSizeMax
	return newClient(config, via)
}

func newClient(config Config, via http.RoundTripper) (*Client, error) {
	if len(config.Members) == 0 {
		return nil, errors.New("cannot make a control-plane client: no members are named")
	}
	urls := make([]string, len(config.Members))
	for i, member := range config.Members {
		base, err := BaseURL(member, config.Security.Scheme())
		if err != nil {
			return nil, fmt.Errorf("cannot make a control-plane client: %w", err)
		}
		urls[i] = base
	}
	if err := validateActor(config.Actor); err != nil {
		return nil, fmt.Errorf("cannot make a control-plane client: %w", err)
	}
	logger := config.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Client{
		members:  newMembers(urls, rand.IntN(len(urls))),
		http:     &http.Client{Transport: via, CheckRedirect: refuseRedirect},
		token:    config.Token,
		actor:    config.Actor,
		failFast: config.FailFast,
		logger:   logger,
		horizon:  newHorizon(),
		bodyMax:  answerSizeMax,
	}, nil
}

// Close gives up idle connections. Calls under way end with their contexts.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// BaseURL writes a member, given as base URL or host:port, as base URL without a trailing slash. A URL
// of another scheme than the one spoken is refused.
func BaseURL(member, scheme string) (string, error) {
	text := member
	if !strings.Contains(text, "://") {
		text = scheme + "://" + text
	}
	base, err := url.Parse(text)
	if err == nil && base.Scheme != scheme && (base.Scheme == "http" || base.Scheme == "https") {
		return "", fmt.Errorf("member %q: this client speaks %s, %s", api.Clip(member), scheme, speaks[scheme])
	}
	if err != nil || base.Scheme != scheme || base.User != nil || strings.Trim(base.Path, "/") != "" ||
		base.RawQuery != "" || base.Fragment != "" {
		return "", fmt.Errorf("member %q is neither host:port nor %s://host:port", api.Clip(member), scheme)
	}
	if err := api.ValidateAddress(base.Host); err != nil {
		return "", fmt.Errorf("member %q: %w", api.Clip(member), err)
	}
	return scheme + "://" + base.Host, nil
}

// speaks says why a client speaks a scheme.
var speaks = map[string]string{"http": "having no CA to trust", "https": "having a CA to trust"}

// refuseRedirect keeps the client at the addresses it was given.
func refuseRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func validateActor(actor string) error {
	if len(actor) > actorLengthMax {
		return fmt.Errorf("the actor's name is longer than %d bytes", actorLengthMax)
	}
	for _, c := range []byte(actor) {
		if c < ' ' || c == 0x7f {
			return fmt.Errorf("the actor's name %q holds control characters", api.Clip(actor))
		}
	}
	return nil
}

type consistencyKey struct{}

// WithConsistency makes the reads under the context answer "stale", "default" or "linearizable".
func WithConsistency(ctx context.Context, level string) context.Context {
	return context.WithValue(ctx, consistencyKey{}, level)
}

func consistency(ctx context.Context) string {
	level, _ := ctx.Value(consistencyKey{}).(string)
	return level
}
