package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// drainMax bounds what is read of a health answer's body to keep its connection, in bytes.
const drainMax = 4 << 10

var errNotChecked = errors.New("the service has not passed a health check yet")

// checker asks the service for its health, over and over.
type checker struct {
	url      string
	interval time.Duration
	failures int
	client   *http.Client
	logger   *slog.Logger
	passed   chan struct{} // closed at the first success

	mu     sync.Mutex
	ailing error // nil while the service counts as healthy
}

func newChecker(config Config, transport http.RoundTripper, logger *slog.Logger) *checker {
	return &checker{
		url:      "http://" + config.Upstream + config.HealthPath,
		interval: config.HealthInterval,
		failures: config.HealthFailures,
		client: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		logger: logger,
		passed: make(chan struct{}),
		ailing: errNotChecked,
	}
}

// run checks once every interval until the context ends.
func (c *checker) run(ctx context.Context) {
	ticker := time.NewTicker(c.interval)
	defer ticker.Stop()
	failed := 0
	for {
		err := c.check(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			failed = 0
		} else {
			failed++
		}
		c.judge(err, failed)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (c *checker) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.interval)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, nil)
	if err != nil {
		return err
	}
	answer, err := c.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, _ = io.CopyN(io.Discard, answer.Body, drainMax)
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return fmt.Errorf("the health check answered %s", answer.Status)
	}
	return nil
}

// judge takes the outcome of a check, the failed-th failure in a row.
func (c *checker) judge(err error, failed int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil && c.ailing != nil:
		c.logger.Info("service is healthy")
		if errors.Is(c.ailing, errNotChecked) {
			close(c.passed)
		}
		c.ailing = nil
	case errors.Is(c.ailing, errNotChecked) && failed == c.failures:
		c.logger.Warn("service is not healthy yet: the node joins when it is", "url", c.url, "error", err)
	case err != nil && c.ailing == nil && failed >= c.failures:
		c.logger.Warn("service is unhealthy", "error", err, "failures", failed)
		c.ailing = err
	}
}

// fail makes the service unhealthy at once, for good unless a check passes.
func (c *checker) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ailing = err
}

// healthy is nil while the service counts as healthy.
func (c *checker) healthy(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ailing
}
