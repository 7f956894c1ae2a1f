package backup

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// Why a folder is refused to back up into.
var (
	ErrComplete = errors.New("the folder holds a complete backup")
	ErrForeign  = errors.New("the folder is not empty, and holds no backup to go on with")
)

// Take copies every slot's state into the folder, which it makes. Broken off, it goes on where it was when it
// is called again; what it copied before stays of its time.
func Take(ctx context.Context, config Config, path string) (Manifest, error) {
	view, err := config.Cluster.Ring(ctx)
	if err != nil {
		return Manifest{}, err
	}
	c := newCopier(config, path, view)
	defer c.close()
	manifest, err := c.begin(view)
	if err != nil {
		return Manifest{}, fmt.Errorf("cannot back up to %s: %w", path, err)
	}
	t := &taking{copier: c, manifest: manifest}
	err = c.each(ctx, t.left(view.Table.Bits), t.take)
	slices.SortFunc(t.manifest.Slots, func(a, b Slot) int { return cmp.Compare(a.Slot, b.Slot) })
	if err == nil {
		t.manifest.Finished = c.Now().UTC()
	}
	if err = errors.Join(err, c.folder.write(manifestName, t.manifest)); err != nil {
		return t.manifest, fmt.Errorf("cannot back up: %w", err)
	}
	return t.manifest, nil
}

// begin makes the folder, or takes up what an earlier run left there.
func (c *copier) begin(view *ring.View) (Manifest, error) {
	if err := os.MkdirAll(string(c.folder), 0o700); err != nil {
		return Manifest{}, err
	}
	manifest, begun, err := c.folder.manifest()
	geometry := geometryOf(view.Settings)
	switch {
	case err != nil:
		return Manifest{}, err
	case !begun:
		return c.found(view, geometry)
	case !manifest.Finished.IsZero():
		return Manifest{}, ErrComplete
	case manifest.Cluster != view.Table.Cluster || manifest.Geometry != geometry:
		return Manifest{}, fmt.Errorf("it holds a part of a backup of cluster %s, this is cluster %s", manifest.Cluster, view.Table.Cluster)
	}
	return manifest, nil
}

// found begins a backup in an empty folder. The manifest goes there before all else: what a run leaves behind that is
// broken off early can be told from what others keep.
func (c *copier) found(view *ring.View, geometry Geometry) (Manifest, error) {
	held, err := os.ReadDir(string(c.folder))
	if err != nil {
		return Manifest{}, err
	}
	if len(held) > 0 {
		return Manifest{}, fmt.Errorf("%w: there is %s", ErrForeign, held[0].Name())
	}
	manifest := Manifest{
		Layout: layout, Cluster: view.Table.Cluster, Service: view.Settings.Service, Geometry: geometry,
		Begun: c.Now().UTC(), Slots: []Slot{},
	}
	return manifest, c.folder.write(manifestName, manifest)
}

// taking is a backup under way; manifest is guarded by the copier's mutex.
type taking struct {
	*copier
	manifest Manifest
}

// left lists the slots that are not copied yet.
func (t *taking) left(bits ring.Bits) []api.Slot {
	copied := make(map[api.Slot]bool, len(t.manifest.Slots))
	for _, slot := range t.manifest.Slots {
		copied[slot.Slot] = true
	}
	t.progress = Progress{Done: len(copied), Before: len(copied), Total: bits.Slots()}
	left := []api.Slot{}
	for i := range bits.Slots() {
		if slot := api.Slot(i); !copied[slot] {
			left = append(left, slot)
		}
	}
	return left
}

func (t *taking) take(ctx context.Context, slot api.Slot) error {
	var taken Slot
	err := t.persist(ctx, slot, func(node ring.Node) (err error) {
		taken, err = t.fetch(ctx, node, slot)
		return err
	})
	if err != nil {
		return err
	}
	return t.took(taken)
}

// fetch copies one slot's state from a node.
func (t *taking) fetch(ctx context.Context, node ring.Node, slot api.Slot) (Slot, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.stateURL(node, slot), nil)
	if err != nil {
		return Slot{}, err
	}
	answer, err := t.ask(request, node.ID)
	if err != nil {
		return Slot{}, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return Slot{}, refusal(answer, node.ID)
	}
	epoch, errEpoch := strconv.ParseUint(answer.Header.Get(api.HeaderEpoch), 10, 64)
	seq, errSeq := strconv.ParseUint(answer.Header.Get(api.HeaderSeq), 10, 64)
	if err := errors.Join(errEpoch, errSeq); err != nil {
		return Slot{}, fmt.Errorf("cannot read the answer of node %s: %w", node.ID, err)
	}
	taken := Slot{Slot: slot, Epoch: api.Epoch(epoch), Seq: seq}
	taken.Bytes, taken.SHA256, err = t.folder.keep(slot, answer.Body)
	return taken, err
}

// took records a slot that is copied, now and then on disk.
func (t *taking) took(slot Slot) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.manifest.Slots = append(t.manifest.Slots, slot)
	t.advance(slot.Bytes)
	return t.save(manifestName, t.manifest)
}

// advance tells of one more slot done. The copier is locked.
func (c *copier) advance(bytes int64) {
	c.progress.Done++
	c.progress.Bytes += bytes
	if c.Progress != nil {
		c.Progress(c.progress)
	}
}

// save writes a record of progress unless it was written a moment ago. The copier is locked.
func (c *copier) save(name string, record any) error {
	if time.Since(c.saved) < saveEvery {
		return nil
	}
	c.saved = time.Now()
	return c.folder.write(name, record)
}

// refusal is what a node answered in place of what was asked.
func refusal(answer *http.Response, node api.NodeID) error {
	problem := &api.Problem{}
	if err := json.NewDecoder(http.MaxBytesReader(nil, answer.Body, 64<<10)).Decode(problem); err != nil || problem.Code == "" {
		return fmt.Errorf("node %s answered %s: it may have no slots of its own (state none without a service)", node, answer.Status)
	}
	again := problem.Retryable() && problem.Code != api.CodeConflict
	if again || problem.Code == api.CodeOutcomeUnknown { // a state may be put twice
		return fmt.Errorf("%w: node %s: %w", errAgain, node, problem)
	}
	return fmt.Errorf("node %s: %w", node, problem)
}
