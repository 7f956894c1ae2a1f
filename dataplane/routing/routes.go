// Package routing holds what a proxy routes by: one ring view and the key rules it carries, behind
// one atomic pointer; the goroutine that follows the control plane; the copy on disk.
//
// It owns which ring is in force and why a newer one is not. It does not own how keys are read or
// where requests go. Its invariant: once there were nodes the cluster stays the same, versions of one
// cluster only rise, and rules and table change together; readers take one Table and see one ring.
package routing

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// Table is a ring in force. It is immutable.
type Table struct {
	View  *ring.View
	Rules []api.KeyRule
	// Up lists the nodes that are up: where requests without a key may go.
	Up []ring.Node
	// Since is when the ring was put in force here.
	Since time.Time
	// Superseded is closed when a newer ring is in force.
	Superseded <-chan struct{}

	supersede chan struct{}
}

// Routes is the table in force, and the newest refusal. Reading takes no lock.
type Routes struct {
	// expected are the key rules the operator said the cluster has; empty: any.
	expected []string

	current atomic.Pointer[Table]
	changed chan struct{} // holds a token while a change waits to be saved

	arrive chan struct{} // closed when the first table is in force

	mu      sync.Mutex // serializes changes
	nack    string
	cluster api.ClusterID // the only one whose rings are taken; empty: any, so far none was of a cluster with nodes
}

func newRoutes(expected []string) *Routes {
	return &Routes{expected: expected, changed: make(chan struct{}, 1), arrive: make(chan struct{})}
}

// Table is the ring in force, nil before the first.
func (r *Routes) Table() *Table { return r.current.Load() }

// Arrived is closed when there is a ring in force.
func (r *Routes) Arrived() <-chan struct{} { return r.arrive }

// Nack says why the newest ring the control plane offered is not in force; empty if it is.
func (r *Routes) Nack() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.nack
}

// offer puts a view in force if it may be. A refused one leaves everything as it is.
func (r *Routes) offer(view *ring.View, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.install(view, now)
	r.nack = ""
	if err != nil {
		r.nack = err.Error()
	}
	return err
}

func (r *Routes) install(view *ring.View, now time.Time) error {
	if r.cluster != "" && r.cluster != view.Table.Cluster {
		return fmt.Errorf("%w: this proxy belongs to %s and was offered the ring of %s", ErrOtherCluster, r.cluster, view.Table.Cluster)
	}
	if !view.Table.Blank() {
		r.cluster = view.Table.Cluster
	}
	old := r.current.Load()
	if old != nil && old.View.Table.Cluster == view.Table.Cluster && view.Table.Version.Compare(old.View.Table.Version) <= 0 {
		return nil
	}
	table, err := r.read(view)
	if err != nil {
		return err
	}
	table.Since = now
	r.current.Store(table)
	select {
	case r.changed <- struct{}{}:
	default:
	}
	if old != nil {
		close(old.supersede)
	} else {
		close(r.arrive)
	}
	return nil
}

// read derives from a view what requests need of it.
func (r *Routes) read(view *ring.View) (*Table, error) {
	keys := view.Settings.Keys
	if len(r.expected) > 0 && !slices.Equal(r.expected, keys) {
		return nil, fmt.Errorf("%w: the cluster's are %q, this proxy was started with %q", ErrOtherRules, keys, r.expected)
	}
	rules, problem := view.Settings.KeyRules()
	if problem != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnknownRules, problem)
	}
	superseded := make(chan struct{})
	table := &Table{View: view, Rules: rules, Superseded: superseded, supersede: superseded}
	for _, node := range view.Table.Nodes {
		if node.ID != "" && node.Status == ring.StatusUp {
			table.Up = append(table.Up, node)
		}
	}
	return table, nil
}
