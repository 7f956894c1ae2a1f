package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/stead-io/stead/api"
)

// The event stream's limits.
const (
	eventSilenceMax = 40 * time.Second // members say every 15 s that they are there
	eventLineMax    = 1 << 20          // bytes
)

var (
	errEventsEnded  = errors.New("the member ended the stream")
	errEventsSilent = errors.New("the member fell silent")
)

// Events calls onEvent for everything that happens to a change, in the order of the log, until the
// context ends; it returns the context's error, or that of a cluster that tells no events. It begins
// behind the event after, or, with a zero one, at the present. A stream that breaks is taken up again at
// the next member: no event comes twice, and none is left out but by a reset that says so. A change that
// something happened to more than once while nobody listened comes once, as it is now.
func (c *Client) Events(ctx context.Context, after api.EventID, onEvent func(api.Event)) error {
	l := &listener{client: c, at: after, onEvent: onEvent}
	failures := 0
	for {
		member := c.members.first()
		told, err := l.listen(ctx, member)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !passesOn(err) {
			return fmt.Errorf("cannot follow events: %w", err)
		}
		if told {
			failures = 0
		}
		c.logger.Debug("event stream broke", "member", c.members.urls[member], "error", err)
		c.members.failed(member)
		_ = wait(ctx, watchBackoff.after(failures))
		failures++
	}
}

// listener follows events from member to member.
type listener struct {
	client  *Client
	at      api.EventID // the last place a member named; zero before the first
	onEvent func(api.Event)
}

// listen reads one member's stream until it ends; told: it got as far as to name a place.
func (l *listener) listen(ctx context.Context, member int) (told bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(eventSilenceMax, func() { cancel(errEventsSilent) })
	defer silence.Stop()
	sent, err := l.client.compose(ctx, member, request{method: http.MethodGet, path: "/v1/events", accept: api.TypeEvents})
	if err != nil {
		return false, err
	}
	if l.at != (api.EventID{}) {
		sent.Header.Set("Last-Event-ID", l.at.String())
	}
	response, err := l.client.http.Do(sent)
	if err != nil {
		return false, plain(err)
	}
	defer response.Body.Close()
	if err := streams(response); err != nil {
		return false, err
	}
	cluster := api.ClusterID(response.Header.Get(api.HeaderCluster))
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, eventLineMax)
	var block sseBlock
	for lines.Scan() {
		silence.Reset(eventSilenceMax)
		if line := lines.Text(); line != "" {
			block.add(line)
			continue
		}
		if err := l.take(block, cluster); err != nil {
			return told, err
		}
		told, block = told || block.id != "", sseBlock{}
	}
	return told, errors.Join(errEventsEnded, context.Cause(ctx), lines.Err())
}

// streams reports what came instead of a stream.
func streams(response *http.Response) error {
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if response.StatusCode == http.StatusOK && kind == api.TypeEvents {
		return nil
	}
	body, err := readAtMost(io.LimitReader(response.Body, eventLineMax), eventLineMax)
	if err != nil {
		return err
	}
	if err := (answer{status: response.StatusCode, kind: kind, body: body}).failure(); err != nil {
		return err
	}
	return fmt.Errorf("answered with %q, not with events", api.Clip(kind))
}

// take moves the listener's place, and hands out an event that lies behind it.
func (l *listener) take(block sseBlock, cluster api.ClusterID) error {
	if block.id == "" {
		return nil // a sign of life
	}
	id, err := api.ParseEventID(block.id)
	if err != nil {
		return err
	}
	event := api.Event{ID: id, Kind: api.EventKind(block.event), Cluster: cluster}
	switch {
	case event.Kind == api.EventReset:
		err = json.Unmarshal([]byte(block.data), &event)
	case event.Kind == api.EventChange && l.at.Precedes(id):
		err = json.Unmarshal([]byte(block.data), &event.Change)
	case l.at == api.EventID{}: // the place to begin at
		event.Kind = ""
	default:
		return nil // seen before, or of a kind that a newer member tells
	}
	if err != nil {
		return fmt.Errorf("cannot decode event %s: %w", id, err)
	}
	l.at = id
	if event.Kind != "" {
		l.onEvent(event)
	}
	return nil
}

// sseBlock is one block of a stream of server-sent events (WHATWG HTML, section 9.2).
type sseBlock struct{ id, event, data string }

func (b *sseBlock) add(line string) {
	name, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch name {
	case "id":
		b.id = value
	case "event":
		b.event = value
	case "data":
		b.data += value
	}
}
