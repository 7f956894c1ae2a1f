package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stead-io/stead/api"
)

// streamOf says a stream's blocks and then ends, or, with hanging, falls silent.
type streamOf struct {
	blocks  string
	hanging bool
}

// streamers play members by host; each request to one takes its next stream.
type streamers struct {
	t       *testing.T
	streams map[string][]streamOf
	asked   []string // host and Last-Event-ID of each request
}

func (s *streamers) RoundTrip(request *http.Request) (*http.Response, error) {
	host := request.URL.Hostname()
	s.asked = append(s.asked, host+" "+request.Header.Get("Last-Event-ID"))
	left := s.streams[host]
	if len(left) == 0 {
		return nil, fmt.Errorf("connection refused")
	}
	s.streams[host] = left[1:]
	body, writer := io.Pipe()
	go func() {
		_, _ = io.WriteString(writer, left[0].blocks)
		if left[0].hanging {
			<-request.Context().Done()
		}
		_ = writer.CloseWithError(io.ErrUnexpectedEOF)
	}()
	return &http.Response{
		StatusCode: http.StatusOK, Body: body,
		Header: http.Header{"Content-Type": {api.TypeEvents}, api.HeaderCluster: {string(testCluster)}},
	}, nil
}

func event(id string) string {
	return "id: " + id + "\nevent: change\ndata: {\"cause\":\"drain n1\"}\n\n"
}

// heard collects the events that a client hands out until there are enough.
func heard(t *testing.T, s *streamers, after api.EventID, enough int) (ids []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		client, err := newClient(Config{Members: []string{"a:7400", "b:7400"}}, s)
		if err != nil {
			t.Fatal(err)
		}
		client.members.answered(0)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		err = client.Events(ctx, after, func(event api.Event) {
			text := event.ID.String()
			if event.Kind != api.EventChange || event.Cluster != testCluster || event.Change.Cause != "drain n1" {
				text = fmt.Sprintf("%s %s %d", text, event.Kind, event.Oldest)
			}
			if ids = append(ids, text); len(ids) == enough {
				cancel()
			}
		})
		if err == nil || err != ctx.Err() {
			t.Errorf("got %v, want the context's error", err)
		}
	})
	return ids
}

func TestEventsFromMemberToMember(t *testing.T) {
	f := func(name string, after string, a, b []streamOf, want []string, asked ...string) {
		t.Helper()
		var from api.EventID
		if after != "" {
			from, _ = api.ParseEventID(after)
		}
		s := &streamers{t: t, streams: map[string][]streamOf{"a": a, "b": b}}
		if got := heard(t, s, from, len(want)); !slices.Equal(got, want) {
			t.Errorf("%s: handed out %v, want %v", name, got, want)
		}
		if got := s.asked[:min(len(asked), len(s.asked))]; !slices.Equal(got, asked) {
			t.Errorf("%s: asked %v, want %v", name, got, asked)
		}
	}
	f("one stream", "", []streamOf{{"id: 1-4\n\n" + event("1-5-2") + ": alive\n\n" + event("1-5-3"), true}}, nil,
		[]string{"1-5-2", "1-5-3"}, "a ")
	f("a stream that breaks", "", []streamOf{{blocks: "id: 1-4\n\n" + event("1-5-2")}}, []streamOf{{event("1-5-2") + event("1-6-3"), true}},
		[]string{"1-5-2", "1-6-3"}, "a ", "b 1-5-2")
	f("broken before anything happened", "", []streamOf{{blocks: "id: 1-4\n\n"}}, []streamOf{{event("1-6-3"), true}},
		[]string{"1-6-3"}, "a ", "b 1-4")
	f("a member that falls silent", "1-4", []streamOf{{"id: 1-4\n\n", true}}, []streamOf{{event("1-6-3"), true}},
		[]string{"1-6-3"}, "a 1-4", "b 1-4")
	f("cut in the middle", "1-4", []streamOf{{blocks: "id: 1-6-3\nevent: change\nda"}}, []streamOf{{event("1-6-3"), true}},
		[]string{"1-6-3"}, "a 1-4", "b 1-4")
	f("garbage", "1-4", []streamOf{{blocks: "id: 1-6-3\nevent: change\ndata: {\n\n"}}, []streamOf{{event("1-6-3"), true}},
		[]string{"1-6-3"}, "a 1-4", "b 1-4")
	f("reset", "1-4", []streamOf{{"id: 2-0\nevent: reset\ndata: {\"id\":\"2-0\",\"event\":\"reset\",\"cluster\":\"" + string(testCluster) + "\",\"oldest\":9}\n\n" + event("2-3-9"), true}}, nil,
		[]string{"2-0 reset 9", "2-3-9"}, "a 1-4")
	f("down", "1-4", nil, []streamOf{{event("1-6-3"), true}}, []string{"1-6-3"}, "a 1-4", "b 1-4")
}

func TestEventsOfAnOldClusterAreRefused(t *testing.T) {
	client := open(t, inMemory{"a": refuses(api.CodeUnsupported)})
	err := client.Events(t.Context(), api.EventID{}, func(api.Event) { t.Error("an event") })
	if api.CodeOf(err) != api.CodeUnsupported || !strings.HasPrefix(err.Error(), "cannot follow events: ") {
		t.Errorf("got %v", err)
	}
}
