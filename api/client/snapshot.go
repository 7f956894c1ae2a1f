package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

const (
	// snapshotPatience bounds the way of a snapshot, there or back.
	snapshotPatience = 5 * time.Minute
	reportTimeout    = 10 * time.Second // one try of a report
	problemSizeMax   = 64 << 10         // bytes of an answer that is no snapshot
)

// Snapshot asks for the state of the control plane in one file. The caller closes it; an error while
// reading it means that it is not whole.
func (c *Client) Snapshot(ctx context.Context) (io.ReadCloser, error) {
	ask := get("save a snapshot", "/v1/snapshot", nil)
	ask.accept = api.TypeSnapshot
	ctx, cancel := context.WithTimeout(ctx, snapshotPatience)
	response, err := c.stream(ctx, ask, nil)
	if err != nil {
		cancel()
		return nil, wrap(ask.aim, err)
	}
	return &bodyOf{response.Body, cancel}, nil
}

// bodyOf ends its request when it is closed.
type bodyOf struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b *bodyOf) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// Restore replaces the state of the whole control plane by a snapshot of size bytes; force takes that
// of another cluster. It is sent to the next member only while none has taken it.
func (c *Client) Restore(ctx context.Context, snapshot io.ReadSeeker, size int64, force bool) (api.Changed, error) {
	ask := request{aim: "restore the snapshot", method: http.MethodPut, path: "/v1/snapshot"}
	if force {
		ask.query = url.Values{"force": {"other-cluster"}}
	}
	ctx, cancel := context.WithTimeout(ctx, snapshotPatience)
	defer cancel()
	response, err := c.stream(ctx, ask, func(sent *http.Request) error {
		if _, err := snapshot.Seek(0, io.SeekStart); err != nil {
			return err
		}
		sent.Body, sent.ContentLength = io.NopCloser(snapshot), size
		sent.Header.Set("Content-Type", api.TypeSnapshot)
		return nil
	})
	if err != nil {
		return api.Changed{}, wrap(ask.aim, err)
	}
	got, err := c.small(response)
	if err != nil {
		return api.Changed{}, wrap(ask.aim, err)
	}
	var changed api.Changed
	return changed, wrap(ask.aim, got.json(&changed))
}

// stream asks one member after the other, round by round for a while, until one takes the request. Its answer's
// body is the caller's to read and close.
func (c *Client) stream(ctx context.Context, ask request, fill func(*http.Request) error) (*http.Response, error) {
	patience, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	for round := 0; ; round++ {
		response, refused, err := c.streamRound(ctx, ask, fill)
		if response != nil || err != nil {
			return response, err
		}
		if c.failFast && refused.nobodyListens() || wait(patience, callBackoff.after(round)) != nil {
			return nil, refused.sum()
		}
	}
}

// refusals are why no member took a stream: none of them saw it, or knew who leads.
type refusals struct {
	failures []error
	unsent   int // to so many there was no connection
}

func (r refusals) nobodyListens() bool { return r.unsent == len(r.failures) }

func (r refusals) sum() error {
	err := errors.Join(r.failures...)
	if api.CodeOf(err) == "" {
		err = fmt.Errorf("%w (%w)", ErrUnreachable, err)
	}
	return err
}

// streamRound asks each member once. Without a response, its error is one that no other member would mend.
func (c *Client) streamRound(ctx context.Context, ask request, fill func(*http.Request) error) (*http.Response, refusals, error) {
	var refused refusals
	member := c.members.first()
	for range c.members.urls {
		sent, err := c.compose(ctx, member, ask)
		if err == nil && fill != nil {
			err = fill(sent)
		}
		if err != nil {
			return nil, refused, err
		}
		connected := false
		trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }}
		response, err := c.http.Do(sent.WithContext(httptrace.WithClientTrace(ctx, trace)))
		if err == nil && response.StatusCode == http.StatusOK {
			c.members.answered(member)
			return response, refused, nil
		}
		if err == nil {
			_, err = c.small(response)
		} else {
			err = fmt.Errorf("%s: %w", c.members.urls[member], plain(err))
			if fill != nil && connected {
				return nil, refused, fmt.Errorf("%w; whether it was applied is not known", err)
			}
		}
		refused.failures = append(refused.failures, err)
		if !connected {
			refused.unsent++
		}
		if code := api.CodeOf(err); code != "" && code != api.CodeNoLeader {
			return nil, refused, err
		}
		member = c.members.after(member)
	}
	return nil, refused, nil
}

// small reads an answer that is no snapshot.
func (c *Client) small(response *http.Response) (answer, error) {
	defer response.Body.Close()
	body, err := readAtMost(response.Body, problemSizeMax)
	if err != nil {
		return answer{}, fmt.Errorf("cannot read the answer: %w", err)
	}
	got := answer{status: response.StatusCode, kind: mediaType(response), body: body}
	return got, got.failure()
}

// Report says what ring a node acted on before the state was restored; nil: none.
func (c *Client) Report(ctx context.Context, id api.NodeID, session api.SessionID, view *ring.View) error {
	ask := request{
		aim: fmt.Sprintf("report for node %s", id), method: http.MethodPost, path: nodePath(id) + "/report",
		query: url.Values{"session": {string(session)}}, timeout: reportTimeout,
	}
	if view != nil {
		ask.raw, ask.kind = view.Encode(), api.TypeRing
	}
	_, err := call[api.Changed](ctx, c, ask)
	return err
}
