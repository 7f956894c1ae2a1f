package httpapi

import (
	"encoding/json"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/controlplane/fsm"
)

// ringCoalesce has a flood of ring versions go out ten times a second.
const ringCoalesce = 100 * time.Millisecond

// ringFeed tells of ring versions.
var ringFeed = feed{
	coalesce: ringCoalesce,
	mark:     (*fsm.State).Version,
	read: func(state *fsm.State) (content, error) {
		view, err := ring.NewView(state.Settings, state.Table())
		return ringContent{state, view}, err
	},
}

// ringContent is one ring version.
type ringContent struct {
	state *fsm.State
	view  *ring.View
}

func (c ringContent) encode(kind answerKind) ([]byte, *api.Problem, error) {
	switch kind.media {
	case api.TypeRing:
		return c.view.Encode(), nil, nil
	case api.TypeRingDelta:
		return c.encodeDelta(kind.from)
	default:
		body, err := json.Marshal(c.view.JSON())
		return append(body, '\n'), nil, err
	}
}

func (c ringContent) encodeDelta(from api.Version) ([]byte, *api.Problem, error) {
	past, problem := c.state.At(from.Number)
	if problem != nil {
		return nil, problem, nil
	}
	var settings *api.Settings
	if !past.Settings.Equal(c.view.Settings) {
		settings = &c.view.Settings
	}
	body, err := json.Marshal(ring.Between(past.Table, c.view.Table).Wire(settings))
	return append(body, '\n'), nil, err
}
