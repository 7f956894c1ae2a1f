package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"slices"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// Read shows what the backup in a folder holds.
func Read(path string) (Manifest, error) {
	manifest, ok, err := folder(path).manifest()
	switch {
	case err != nil:
		return Manifest{}, err
	case !ok:
		return Manifest{}, fmt.Errorf("%s holds no backup: it has no %s", path, manifestName)
	case manifest.Finished.IsZero():
		return Manifest{}, fmt.Errorf("the backup in %s is not complete: run it again with the same folder, and it goes on", path)
	}
	return manifest, nil
}

// Restore puts the states of a backup in the place of those that the cluster has, slot by slot, on all
// replicas. Without over, a slot that was ever written to is refused, and one that was empty when it was backed
// up is left alone. Broken off, it goes on where it was when it is called again.
func Restore(ctx context.Context, config Config, path string, over bool) (Progress, error) {
	manifest, err := Read(path)
	if err != nil {
		return Progress{}, err
	}
	view, err := config.Cluster.Ring(ctx)
	if err != nil {
		return Progress{}, err
	}
	if err := fits(manifest, view); err != nil {
		return Progress{}, fmt.Errorf("cannot restore %s: %w", path, err)
	}
	c := newCopier(config, path, view)
	defer c.close()
	r := &restoring{copier: c, over: over, states: make(map[api.Slot]Slot)}
	left, err := r.begin(manifest, view)
	if err != nil {
		return Progress{}, err
	}
	if err := c.each(ctx, left, r.verify); err != nil {
		return c.progress, fmt.Errorf("cannot restore, and nothing was changed: %w", err)
	}
	err = c.each(ctx, left, r.restore)
	if err != nil {
		err = errors.Join(err, c.folder.write(restoredName, r.record))
	} else if err = os.Remove(c.folder.file(restoredName)); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return c.progress, fmt.Errorf("cannot restore: %w", err)
	}
	return c.progress, nil
}

// fits reports whether a backup can go to a cluster: another one will do if the same keys live in the same slots.
func fits(manifest Manifest, view *ring.View) error {
	if manifest.Service != view.Settings.Service {
		return fmt.Errorf("it is of service %q, the cluster serves %q", manifest.Service, view.Settings.Service)
	}
	own := geometryOf(view.Settings)
	if manifest.Geometry == own {
		return nil
	}
	return fmt.Errorf("it is of cluster %s with 2^%d slots and %s, this cluster %s has 2^%d with %s, or another hash key: "+
		"its keys would not be found; restore the control plane's snapshot first", manifest.Cluster,
		manifest.Geometry.SlotBits, manifest.Geometry.Hash, view.Table.Cluster, own.SlotBits, own.Hash)
}

// restoring is a restore under way; record is guarded by the copier's mutex.
type restoring struct {
	*copier
	over   bool
	states map[api.Slot]Slot
	record restored
}

// restored says which slots a restore has put back, and which it began to: what they hold may be of its doing.
type restored struct {
	Cluster    api.ClusterID `json:"cluster"`
	Generation uint64        `json:"generation"` // another one may have other nodes, which hold nothing of it
	Slots      []api.Slot    `json:"slots"`
	Begun      []api.Slot    `json:"begun"` // those among Slots too
}

// begin lists what is to be put back.
func (r *restoring) begin(manifest Manifest, view *ring.View) ([]api.Slot, error) {
	if _, err := r.folder.read(restoredName, &r.record); err != nil {
		return nil, err
	}
	cluster, generation := view.Table.Cluster, view.Table.Version.Generation
	if r.record.Cluster != cluster || r.record.Generation != generation {
		r.record = restored{Cluster: cluster, Generation: generation}
	}
	left := []api.Slot{}
	for _, slot := range manifest.Slots {
		done := slices.Contains(r.record.Slots, slot.Slot)
		switch {
		case slot.Seq == 0 && !r.over:
			continue
		case done:
			r.progress.Done++
			r.progress.Before++
		default:
			left = append(left, slot.Slot)
			r.states[slot.Slot] = slot
		}
		r.progress.Total++
	}
	return left, nil
}

// verify looks at a slot's file before anything is replaced.
func (r *restoring) verify(_ context.Context, slot api.Slot) error {
	return r.folder.verify(r.states[slot])
}

func (r *restoring) restore(ctx context.Context, slot api.Slot) error {
	state := r.states[slot]
	over := r.claim(slot) || r.over
	err := r.persist(ctx, slot, func(node ring.Node) error {
		err := r.put(ctx, node, state, over)
		if errors.Is(err, errAgain) && api.CodeOf(err) != api.CodeNotOwner {
			over = true // what is there by now may be a part of this very state
		}
		return err
	})
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record.Slots = append(r.record.Slots, slot)
	r.advance(state.Bytes)
	return r.save(restoredName, r.record)
}

// claim notes that a slot is being put back, and reports whether it was begun before.
func (r *restoring) claim(slot api.Slot) (again bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Contains(r.record.Begun, slot) {
		return true
	}
	r.record.Begun = append(r.record.Begun, slot)
	return false
}

// put sends one state to a node.
func (r *restoring) put(ctx context.Context, node ring.Node, state Slot, over bool) error {
	file, err := os.Open(r.folder.state(state.Slot))
	if err != nil {
		return err
	}
	defer file.Close()
	url := fmt.Sprintf("%s?over=%t", r.stateURL(node, state.Slot), over)
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, url, file)
	if err != nil {
		return err
	}
	request.ContentLength = state.Bytes
	answer, err := r.ask(request, node.ID)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		return refusal(answer, node.ID)
	}
	return nil
}
