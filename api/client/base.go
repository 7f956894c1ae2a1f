package client

import (
	"context"
	"net/http"
	"strconv"

	"github.com/stead-io/stead/api"
)

type baseKey struct{}

// WithBase has the writes under the context refused (precondition_failed) if a change newer than this
// one was made: what the caller looked at is no longer so. 0: never.
func WithBase(ctx context.Context, change api.ChangeID) context.Context {
	return context.WithValue(ctx, baseKey{}, change)
}

// condition puts the condition on a write.
func condition(ctx context.Context, sent *http.Request) {
	if base, _ := ctx.Value(baseKey{}).(api.ChangeID); base != 0 && sent.Method != http.MethodGet {
		sent.Header.Set("If-Match", strconv.Quote(strconv.FormatUint(uint64(base), 10)))
	}
}
