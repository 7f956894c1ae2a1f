package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/client"
)

// TestDrainWaits: for as long as the node holds something, it is drained, and nobody presses Ctrl-C.
func TestDrainWaits(t *testing.T) {
	f := func(node api.Node, told func(context.CancelFunc), want, next string) {
		t.Helper()
		ctx, interrupt := context.WithTimeout(t.Context(), 10*time.Second)
		defer interrupt()
		mux := http.NewServeMux()
		mux.HandleFunc("GET /v1/slots/0", func(w http.ResponseWriter, _ *http.Request) { answer(w, fakeFeed(34).Slots[0]) })
		mux.HandleFunc("GET /v1/nodes/n2", func(w http.ResponseWriter, _ *http.Request) { answer(w, node) })
		mux.HandleFunc("GET /v1/slots", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Has("after") {
				told(interrupt)
				<-r.Context().Done()
				return
			}
			serveSlots(w, r)
		})
		server := httptest.NewServer(mux)
		defer server.Close()
		made, err := client.New(client.Config{Members: []string{server.URL}})
		if err != nil {
			t.Fatal(err)
		}
		defer made.Close()
		var stderr strings.Builder
		command := &cobra.Command{}
		command.SetContext(ctx)
		command.SetErr(&stderr)
		err = (&session{Client: made, command: command}).awaitDrained("n2", 0)
		if err == nil || err.Error() != want || nextStep(err) != next {
			t.Errorf("got %v (next %q), want %q", err, nextStep(err), want)
		}
		if errors.As(err, new(usageError)) {
			t.Error("the command line was fine")
		}
	}
	draining := fakeNodes().Nodes[1]
	f(draining, func(interrupt context.CancelFunc) { interrupt() }, "no longer waiting; the drain of n2 goes on",
		"wait again: stead nodes drain n2; end it: stead nodes undrain n2")
	back := draining
	back.Draining = false
	f(back, func(context.CancelFunc) {}, "n2 is drained no longer, and holds 2 slots", "")
}
