package client

import (
	"context"
	"errors"
	"log/slog"
)

// keepPolling polls member after member until the context ends, and returns the context's error. A poll that fails
// is tried again at the next member, later and later.
func (c *Client) keepPolling(ctx context.Context, what string, poll func(ctx context.Context, member int) error) error {
	w := watchLog{logger: c.logger.With("watch", what)}
	failures := 0
	for ctx.Err() == nil {
		member := c.members.first()
		err := poll(ctx, member)
		if ctx.Err() != nil {
			break
		}
		w.report(c.members.urls[member], failures, err)
		if err == nil {
			failures = 0
			continue
		}
		c.members.failed(member)
		_ = wait(ctx, watchBackoff.after(failures))
		failures++
	}
	return ctx.Err()
}

// watchLog tells of a watch that fails.
type watchLog struct {
	logger *slog.Logger
	told   string // the failure logged last
}

// report logs the first failure of its kind and the end of all; repetitions are for debugging.
func (w *watchLog) report(member string, failures int, err error) {
	logger := w.logger.With("member", member)
	switch {
	case err == nil && failures > 0:
		logger.Info("watch goes on", "failures", failures)
		w.told = ""
	case err == nil:
	case err.Error() == w.told:
		logger.Debug("watch failed again", "error", err, "failures", failures)
	case errors.Is(err, errCluster):
		logger.Error("watch met another cluster", "next", "if the members were restored as that one, restart this process")
		w.told = err.Error()
	default:
		logger.Warn("watch failed", "error", err)
		w.told = err.Error()
	}
}
