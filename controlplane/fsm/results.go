package fsm

import (
	"slices"
	"time"

	"github.com/stead-io/stead/api"
)

// What is kept of keyed commands: as many as these, for as long by the state's own clock.
const (
	resultsKept    = 10_000
	resultsKeptFor = 24 * time.Hour
)

// keyedResult is what a command that came with an idempotency key answered. Only commands that were
// carried out are remembered: one that was refused changed nothing, and may be tried again.
type keyedResult struct {
	Key     string       `json:"key"`
	Request string       `json:"request"` // digest of the request that the key came with
	Time    int64        `json:"time"`
	Change  api.ChangeID `json:"change,omitempty"`
	Version api.Version  `json:"version"`
	Node    *Node        `json:"node,omitempty"`
	Created bool         `json:"created,omitempty"`
	Note    string       `json:"note,omitempty"`
}

func (d *draft) earlier() (*Result, *api.Problem) { return d.state.Earlier(d.header.Origin) }

// Earlier finds what the same request answered when it came before; nil: it did not, or has no key.
func (s *State) Earlier(origin Origin) (*Result, *api.Problem) {
	key := origin.Key
	if key == "" {
		return nil, nil
	}
	known := slices.IndexFunc(s.results.items, func(r *keyedResult) bool { return r.Key == key })
	if known < 0 {
		return nil, nil
	}
	result := s.results.items[known]
	if result.Request != origin.Request {
		return nil, api.NewProblem(api.CodeKeyReused, "the key came with another request at %s",
			time.UnixMilli(result.Time).UTC().Format(time.RFC3339)).InField(api.HeaderIdempotencyKey)
	}
	return &Result{
		Change: result.Change, Version: result.Version, Node: result.Node,
		Created: result.Created, Note: result.Note, Replayed: true,
	}, nil
}

// forgetResults drops what has expired.
func (d *draft) forgetResults() {
	kept := d.state.results.items
	oldest := d.header.Time - resultsKeptFor.Milliseconds()
	gone := 0
	for gone < len(kept) && (kept[gone].Time < oldest || len(kept)-gone > resultsKept) {
		gone++
	}
	d.state.results = d.state.results.drop(gone)
}

// remember keeps the answer of a keyed command.
func (d *draft) remember() {
	if d.header.Key == "" {
		return
	}
	d.state.results = d.state.results.push(&keyedResult{
		Key: d.header.Key, Request: d.header.Request, Time: d.header.Time,
		Change: d.result.Change, Version: d.result.Version, Node: d.result.Node,
		Created: d.result.Created, Note: d.result.Note,
	})
}
