package client

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strconv"

	"github.com/stead-io/stead/api"
)

type (
	idempotencyKey struct{}
	ifMatchKey     struct{}
)

// WithIdempotencyKey names the write made under the context: repeated with the same key, by whomever, it
// is carried out once and answered alike. Without it every operator's write draws a key of its own, so
// that the client may repeat it until it is answered. A cluster that knows no keys refuses a write that
// was named.
func WithIdempotencyKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, idempotencyKey{}, key)
}

// WithIfMatch has the writes under the context refused (412) if a change newer than this one stands.
func WithIfMatch(ctx context.Context, newest api.ChangeID) context.Context {
	return context.WithValue(ctx, ifMatchKey{}, newest)
}

// conditions are what a write asks beside its body.
type conditions struct {
	key   string // empty: none
	drawn bool   // the client chose the key, and may do without
	match api.ChangeID
}

// conditionsOf finds what the context asks of a write. Beats and reads have no conditions.
func conditionsOf(ctx context.Context, ask request) conditions {
	if ask.method == http.MethodGet || ask.once {
		return conditions{}
	}
	var c conditions
	c.match, _ = ctx.Value(ifMatchKey{}).(api.ChangeID)
	if c.key, _ = ctx.Value(idempotencyKey{}).(string); c.key == "" && ask.keyed {
		c.key, c.drawn = rand.Text(), true
	}
	return c
}

// unknownHere reports whether the cluster refused a write only because it knows no keys, and the write
// can do without.
func (c conditions) unknownHere(err error) bool {
	var problem *api.Problem
	return c.drawn && errors.As(err, &problem) && problem.Code == api.CodeUnsupported && problem.Field == api.HeaderIdempotencyKey
}

func (c conditions) writeTo(header http.Header) {
	if c.key != "" {
		header.Set(api.HeaderIdempotencyKey, c.key)
	}
	if c.match != 0 {
		header.Set("If-Match", strconv.Quote(strconv.FormatUint(uint64(c.match), 10)))
	}
}
