package dataplane

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/dataplane/forward"
)

// troubleHalf is half of how long a failure is told of, at most.
const troubleHalf = 5 * time.Second

// troubles counts what failed at nodes lately. Only failures come by here.
type troubles struct {
	mu    sync.Mutex
	nodes map[api.NodeID]*trouble
}

// trouble counts in two halves, of which the older one goes when the newer is full.
type trouble struct {
	older, newer api.NodeTrouble
	since        time.Time // of newer
}

// note counts a failure of a node.
func (t *troubles) note(node api.NodeID, stage forward.Stage, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	is := t.nodes[node]
	if is == nil {
		if t.nodes == nil {
			t.nodes = make(map[api.NodeID]*trouble)
		}
		is = &trouble{since: now}
		t.nodes[node] = is
	}
	is.age(now)
	switch stage {
	case forward.NotConnected:
		is.newer.Connects++
	case forward.TimedOut:
		is.newer.Timeouts++
	case forward.NotAnswered, forward.Broken:
		is.newer.Breaks++
	}
}

func (t *trouble) age(now time.Time) {
	if past := now.Sub(t.since); past >= troubleHalf {
		t.older, t.newer, t.since = t.newer, api.NodeTrouble{}, now
		if past >= 2*troubleHalf {
			t.older = api.NodeTrouble{}
		}
	}
}

// recent tells of the nodes with most failures, and of those that are given up, and drops what is long ago.
func (t *troubles) recent(now time.Time, givenUp []api.NodeID) (list []api.NodeTrouble) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for node, is := range t.nodes {
		is.age(now)
		sum := api.NodeTrouble{
			Node: node, Connects: is.older.Connects + is.newer.Connects,
			Timeouts: is.older.Timeouts + is.newer.Timeouts, Breaks: is.older.Breaks + is.newer.Breaks,
		}
		if sum.Total() == 0 {
			delete(t.nodes, node)
		} else {
			list = append(list, sum)
		}
	}
	for _, node := range givenUp {
		i := slices.IndexFunc(list, func(trouble api.NodeTrouble) bool { return trouble.Node == node })
		if i < 0 {
			i, list = len(list), append(list, api.NodeTrouble{Node: node})
		}
		list[i].GivenUp = true
	}
	slices.SortFunc(list, func(a, b api.NodeTrouble) int {
		return cmp.Or(cmp.Compare(b.Total(), a.Total()), cmp.Compare(a.Node, b.Node))
	})
	return list[:min(len(list), api.TroublesMax)]
}
