package client

import "context"

// Metrics fetches the metrics of the process that answers, as Prometheus text.
func (c *Client) Metrics(ctx context.Context) (text []byte, err error) {
	_, err = c.perform(ctx, get("fetch the metrics", "/metrics", nil), func(got answer) error {
		text = got.body
		return nil
	})
	return text, err
}
