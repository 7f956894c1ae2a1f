package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/nodesvc"
)

// slotsPath is where a service exports, imports and deletes slots, each at its number.
const slotsPath = "/.stead/slots/"

// Names in the data folder.
const (
	appliedName   = "hooks.json"
	importPattern = "import-*"
)

const (
	// hookTimeout bounds an import, a deletion, and what of an export comes after the longest pause.
	hookTimeout = 30 * time.Second
	// complaintMax is how much of a refusal's body is repeated, in bytes.
	complaintMax = 200
)

var (
	errNoRecords = errors.New("a service behind hooks takes no records")
	errUnbounded = errors.New("the export has neither Content-Length nor chunks: a part of it could be taken for the whole")
)

// hooks is the service behind the sidecar as the node sees it in a cluster of state hooks: slots are exported,
// imported and deleted over HTTP, and there are no records.
//
// The service keeps its state by itself. Only how far in the log it is, after a state restored by an operator,
// is kept for it.
type hooks struct {
	base     string // URL of slot numbers
	client   *http.Client
	pauseMax time.Duration
	healthy  <-chan struct{} // closed when the service was healthy once: before it does not listen
	closing  <-chan struct{}
	folder   string // for imports on their way; "": the system's own

	mu      sync.Mutex
	applied *appliedFile
}

// openHooks makes the node's view of the service; imports that a crash cut short are cleared away.
func (s *Sidecar) openHooks() (*hooks, error) {
	folder, kept := s.config.Node.DataDir, ""
	if folder != "" {
		kept = filepath.Join(folder, appliedName)
		left, _ := filepath.Glob(filepath.Join(folder, importPattern)) // the pattern is well-formed
		for _, path := range left {
			if err := os.Remove(path); err != nil {
				return nil, fmt.Errorf("cannot clear an import away: %w", err)
			}
		}
	}
	applied, err := openApplied(kept)
	if err != nil {
		return nil, err
	}
	return &hooks{
		base: "http://" + s.config.Upstream + slotsPath, client: &http.Client{Transport: s.transport},
		pauseMax: s.config.MovePauseMax, healthy: s.checker.passed, closing: s.stopping, folder: folder, applied: applied,
	}, nil
}

// Apply takes no record: the sidecar makes none.
func (h *hooks) Apply(slot api.Slot, _ []byte) (any, error) {
	return nil, fmt.Errorf("cannot apply to slot %d: %w: %w", slot, errNoRecords, nodesvc.ErrBroken)
}

// ApplyAt takes no record.
func (h *hooks) ApplyAt(slot api.Slot, _ ownership.Seq, record []byte) (any, error) {
	return h.Apply(slot, record)
}

// Snapshot has the service export the slot. No octets stand for a slot without state.
func (h *hooks) Snapshot(slot api.Slot, w io.Writer) error {
	_, err := h.export(slot, w, h.pauseMax+hookTimeout)
	return err
}

// Rehearse exports the slot to nowhere, and refuses to move one that would stand still for too long.
func (h *hooks) Rehearse(slot api.Slot) error {
	began := time.Now()
	octets, err := h.export(slot, io.Discard, h.pauseMax)
	switch took := time.Since(began); {
	case took >= h.pauseMax:
		return fmt.Errorf("slot %d would stand still for too long: exporting it takes more than --move-pause-max %v, in which %d bytes came",
			slot, h.pauseMax, octets)
	default:
		return err
	}
}

func (h *hooks) export(slot api.Slot, w io.Writer, within time.Duration) (octets int64, err error) {
	err = h.do(http.MethodGet, slot, nil, 0, within, func(answer *http.Response) (err error) {
		if answer.StatusCode == http.StatusNoContent || answer.StatusCode == http.StatusNotFound {
			return nil
		}
		if answer.ContentLength < 0 && len(answer.TransferEncoding) == 0 {
			return errUnbounded
		}
		octets, err = io.Copy(w, answer.Body)
		return err
	})
	return octets, err
}

// Restore has the service import what it, or its like on another node, exported.
func (h *hooks) Restore(slot api.Slot, r io.Reader) error { return h.RestoreAt(slot, 0, r) }

// RestoreAt sends the state with its length, which not every server can do without: so it is written aside first.
func (h *hooks) RestoreAt(slot api.Slot, seq ownership.Seq, r io.Reader) error {
	aside, err := os.CreateTemp(h.folder, importPattern)
	if err != nil {
		return fmt.Errorf("cannot import slot %d: %w", slot, err)
	}
	defer func() { _ = errors.Join(aside.Close(), os.Remove(aside.Name())) }()
	length, err := io.Copy(aside, r)
	if err == nil {
		_, err = aside.Seek(0, io.SeekStart)
	}
	if err == nil {
		err = h.takeIn(slot, aside, length)
	}
	if err == nil {
		return h.setApplied(slot, seq)
	}
	return errors.Join(fmt.Errorf("cannot import slot %d: %w", slot, err), h.Drop(slot))
}

func (h *hooks) takeIn(slot api.Slot, state io.Reader, length int64) error {
	if length == 0 {
		return h.delete(slot)
	}
	return h.do(http.MethodPut, slot, state, length, hookTimeout, nil)
}

// Drop has the service delete the slot.
func (h *hooks) Drop(slot api.Slot) error {
	if err := h.delete(slot); err != nil {
		return fmt.Errorf("cannot delete slot %d: %w", slot, err)
	}
	return h.setApplied(slot, 0)
}

func (h *hooks) delete(slot api.Slot) error {
	return h.do(http.MethodDelete, slot, nil, 0, hookTimeout, nil)
}

// Applied is how far in the log the slot is.
func (h *hooks) Applied(slot api.Slot) (ownership.Seq, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.applied.of(slot), nil
}

func (h *hooks) setApplied(slot api.Slot, seq ownership.Seq) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.applied.set(slot, seq)
}

// Sync does nothing: the service answers an import when it is safe.
func (h *hooks) Sync() error { return nil }

// listens waits until the service has been healthy once.
func (h *hooks) listens() bool {
	select {
	case <-h.healthy:
		return true
	default:
	}
	select {
	case <-h.healthy:
		return true
	case <-h.closing:
		return false
	}
}

// do asks the service about a slot. take, if it is not nil, reads the answer, a 404 too.
func (h *hooks) do(method string, slot api.Slot, body io.Reader, length int64, within time.Duration, take func(*http.Response) error) error {
	if !h.listens() {
		return errors.New("the sidecar ended before the service was healthy")
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if body != nil {
		body = io.NopCloser(body) // the file is closed by who opened it
	}
	request, err := http.NewRequestWithContext(ctx, method, fmt.Sprint(h.base, slot), body)
	if err != nil {
		return err
	}
	request.ContentLength = length
	request.Header.Set(api.HeaderSlot, fmt.Sprint(slot))
	answer, err := h.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	gone := answer.StatusCode == http.StatusNotFound && method != http.MethodPut
	if answer.StatusCode/100 != 2 && !gone {
		complaint, _ := io.ReadAll(io.LimitReader(answer.Body, complaintMax))
		return fmt.Errorf("%s %s%d was answered %s: %s", method, slotsPath, slot, answer.Status, complaint)
	}
	if take != nil {
		return take(answer)
	}
	_, _ = io.CopyN(io.Discard, answer.Body, drainMax) // so that the connection can be used again
	return nil
}
