package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

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
		result = fresh
		return nil
	})
	return result, repeated, err
}

// perform is the retry loop of every call; accept takes a success, or refuses it as garbage.
func (c *Client) perform(ctx context.Context, ask request, accept func(answer) error) (repeated bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	failures := make([]error, len(c.members.urls))
	for round := 0; ; round++ {
		member := c.members.first()
		for range c.members.urls {
			got, err := c.exchange(ctx, member, ask)
			if err == nil {
				err = accept(got)
			}
			if err == nil || !passesOn(err) {
				c.members.answered(member)
				return repeated, wrap(ask.aim, err)
			}
			c.members.failed(member)
			if failures[member] == nil || ctx.Err() == nil {
				failures[member] = err // a try that the end of patience cut short explains nothing
			}
			repeated = repeated || mayHaveReached(err)
			if ctx.Err() != nil {
				return repeated, c.giveUp(ctx, ask, failures)
			}
			member = c.members.after(member)
		}
		if ask.once || c.failFast && nobodyListens(failures) || wait(ctx, callBackoff.after(round)) != nil {
			return repeated, c.giveUp(ctx, ask, failures)
		}
	}
}

func nobodyListens(failures []error) bool {
	for _, failure := range failures {
		if !errors.Is(failure, errUnsent) {
			return false
		}
	}
	return true
}

func wrap(aim string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cannot %s: %w", aim, err)
}

// giveUp sums up why no member did what was asked: a member's own problem if there is one.
func (c *Client) giveUp(ctx context.Context, ask request, failures []error) error {
	var tried []string
	for member, failure := range failures {
		if api.CodeOf(failure) != "" {
			return wrap(ask.aim, failure)
		}
		if failure != nil {
			tried = append(tried, fmt.Sprintf("%s: %v", c.members.urls[member], failure))
		}
	}
	err := fmt.Errorf("%w (%s)", ErrUnreachable, strings.Join(tried, "; "))
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.DeadlineExceeded) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	return wrap(ask.aim, err)
}
