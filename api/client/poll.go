package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/stead-io/stead/api"
)

// The long-poll's times.
const (
	pollWait  = 45 * time.Second // asked of the member; load balancers cut idle requests at 60 s
	pollExtra = pollWait / 16    // at most, at random, so that watchers that began together part
	pollGrace = 5 * time.Second  // the way there and back
	pollLeast = pollWait / 2     // an empty answer before that is a fault, not a time-out
	lagMax    = time.Second      // how long a poll may miss a version that a beat has heard of
)

var errBehind = errors.New("a beat has heard of a newer ring than this member tells of")

// chase is the newest version that a watch gave a poll up for, once each.
type chase struct{ chased api.Version }

// poll is one long-poll of a member for what is newer than known. It is given up when beats have heard of a
// newer version for a while.
func (c *chase) poll(ctx context.Context, client *Client, member int, known api.Version, ask request) (answer, error) {
	ctx, giveUp := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if c.chased.Compare(known) > 0 {
			known = c.chased
		}
		newest, ok := client.horizon.beyond(ctx, known)
		if ok && wait(ctx, lagMax) == nil {
			c.chased = newest
			giveUp(errBehind)
		}
	}()
	while := pollWait + rand.N(pollExtra)
	ask.method, ask.timeout, ask.query = http.MethodGet, while+pollGrace, withValue(ask.query, "wait", while.String())
	got, err := client.exchange(ctx, member, ask)
	giveUp(nil)
	<-watched
	if err != nil && errors.Is(context.Cause(ctx), errBehind) {
		return answer{}, errBehind
	}
	return got, err
}
