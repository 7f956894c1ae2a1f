package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/stead-io/stead/api"
)

// call sends a request to one member after another until one answers, and decodes what it said.
func call[Result any](ctx context.Context, c *Client, ask request) (Result, error) {
	result, _, err := callTracked[Result](ctx, c, ask)
	return result, err
}

// callTracked is call, and says whether an earlier try of the same call may have been applied.
func callTracked[Result any](ctx context.Context, c *Client, ask request) (result Result, repeated bool, err error) {
	repeated, err = c.perform(ctx, ask, func(got answer) error {
		var fresh Result
		if got.status != http.StatusNoContent {
			if err := got.json(&fresh); err != nil {
				return err
			}
		}
		switch changed := any(&fresh).(type) {
		case *api.Changed:
			changed.Replayed = got.replayed
		case *api.Evicted:
			changed.Replayed = got.replayed
		}
		result = fresh
		return nil
	})
	return result, repeated, err
}

// perform sends rounds of a request until a member answers; accept takes a success, or refuses it as
// garbage.
func (c *Client) perform(ctx context.Context, ask request, accept func(answer) error) (repeated bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	tries := &tries{failures: make([]error, len(c.members.urls))}
	ask.conditions = conditionsOf(ctx, ask)
	for round := 0; ; round++ {
		answered, err := c.askRound(ctx, ask, round == 0, accept, tries)
		if answered && ask.conditions.unknownHere(err) {
			ask.conditions = conditions{match: ask.conditions.match}
			answered, err = c.askRound(ctx, ask, round == 0, accept, tries)
		}
		if answered {
			return tries.repeated, wrap(ask.aim, err)
		}
		over := ask.once || c.failFast && tries.nobodyListens() || ctx.Err() != nil
		if over || wait(ctx, callBackoff.after(round)) != nil {
			return tries.repeated, wrap(ask.aim, c.giveUp(ctx, tries))
		}
	}
}

// askRound asks one member after the other, beginning with the preferred one, until one answers. In
// the first round each gets its share of the time there is: one that hangs must not use up what the
// others would need.
func (c *Client) askRound(ctx context.Context, ask request, first bool, accept func(answer) error, tries *tries) (answered bool, err error) {
	member, full := c.members.first(), ask.timeout
	for left := len(c.members.urls); left > 0 && ctx.Err() == nil; left-- {
		if deadline, bounded := ctx.Deadline(); first && bounded {
			ask.timeout = min(full, time.Until(deadline)/time.Duration(left))
		}
		got, err := c.exchange(ctx, member, ask)
		if err == nil {
			err = accept(got)
		}
		if err == nil || !passesOn(err) {
			c.members.answered(member)
			return true, err
		}
		c.members.failed(member)
		tries.note(member, err, ctx.Err() != nil)
		member = c.members.after(member)
	}
	return false, nil
}

// tries is what became of a call so far.
type tries struct {
	failures []error // the latest of each member
	repeated bool    // one of them may have been applied
}

// note keeps a failure; one cut short by the end of the caller's time explains less than the one
// before.
func (t *tries) note(member int, failure error, cutShort bool) {
	if t.failures[member] == nil || !cutShort {
		t.failures[member] = failure
	}
	t.repeated = t.repeated || mayHaveReached(failure)
}

func (t *tries) nobodyListens() bool {
	for _, failure := range t.failures {
		if !errors.Is(failure, errUnsent) {
			return false
		}
	}
	return true
}

// giveUp sums up why no member did what was asked: a member's own problem if there is one.
func (c *Client) giveUp(ctx context.Context, tries *tries) error {
	var tried attempts
	unreachable := ErrUnreachable
	for member, failure := range tries.failures {
		if api.CodeOf(failure) != "" {
			return failure
		}
		if distrust(failure) {
			unreachable = fmt.Errorf("%w: %w", ErrUnreachable, ErrUntrusted)
		}
		if failure != nil {
			tried = append(tried, fmt.Errorf("%s: %w", c.members.urls[member], failure))
		}
	}
	err := fmt.Errorf("%w (%w)", unreachable, tried)
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("%w: %w", context.Canceled, err)
	}
	return err
}

// attempts are what members' failures came to, one after the other.
type attempts []error

func (a attempts) Error() string {
	texts := make([]string, len(a))
	for i, err := range a {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (a attempts) Unwrap() []error { return a }

func wrap(aim string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cannot %s: %w", aim, err)
}
