package replication

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/nodesvc/replication/slotlog"
)

// A state that is restored goes through the log like any write, in pieces: so it reaches every replica, in
// order, and survives whatever happens meanwhile. The first octet of a piece says which it is. In logs: never
// renumbered.
const (
	pieceFirst uint8 = 1 // begins anew, and carries octets
	pieceNext  uint8 = 2 // carries octets
	pieceLast  uint8 = 3 // carries octets; the state is whole
	pieceNone  uint8 = 4 // what came is forgotten: no more will
)

const pieceSize = 1 << 20

// restoring is a state that has come in part.
type restoring struct{ spool slotlog.Spool }

// applyRestore takes a piece; with the last one the service's state is replaced.
func (s *slot) applyRestore(entry slotlog.Entry) error {
	if len(entry.Record) == 0 {
		return nil
	}
	if entry.Record[0] == pieceFirst || entry.Record[0] == pieceNone {
		s.endRestore()
	}
	if entry.Record[0] == pieceFirst {
		spool, err := s.engine.config.Log.Spool()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrBroken, err)
		}
		s.restoring = &restoring{spool}
		s.setPieces(entry.Seq)
	}
	if s.restoring == nil {
		return nil // its beginning was superseded
	}
	if _, err := s.restoring.spool.Write(entry.Record[1:]); err != nil {
		return fmt.Errorf("%w: %w", ErrBroken, err)
	}
	if entry.Record[0] != pieceLast {
		return nil
	}
	defer s.endRestore()
	r, err := s.restoring.spool.Reader()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBroken, err)
	}
	defer r.Close()
	return s.engine.restoreService(s.number, entry.Seq, entry.Digest, r, s.restoring.spool.Reader)
}

func (s *slot) setPieces(first seq) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pieces = first
}

func (s *slot) endRestore() {
	if s.restoring != nil {
		_ = s.restoring.spool.Close()
		s.restoring = nil
		s.setPieces(0)
	}
}

// Restore replaces the slot's state on all replicas by one that Backup wrote. Without over the slot must never
// have had a write.
func (e *Engine) Restore(ctx context.Context, number api.Slot, state io.Reader, over bool) error {
	s := e.slot(number)
	stay, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer stay.leave()
	if problem := s.beginRestore(over); problem != nil {
		return problem
	}
	defer s.restoreEnded()
	checked, done, err := e.check(number, state)
	if err != nil {
		return err
	}
	return errors.Join(s.recordPieces(ctx, stay, checked), done())
}

// check lets the service see a state before it is recorded: what is in the log is carried out, and a state that
// the service does not know would leave nothing. It returns the state to read again, and what ends that.
func (e *Engine) check(number api.Slot, state io.Reader) (checked io.Reader, done func() error, err error) {
	checker, can := e.config.Service.(Checker)
	if !can {
		return state, func() error { return nil }, nil
	}
	spool, err := e.config.Log.Spool()
	if err != nil {
		return nil, nil, err
	}
	if _, err := io.Copy(spool, state); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("cannot read the state: %w", err), spool.Close())
	}
	again, err := spool.Reader()
	if err != nil {
		return nil, nil, errors.Join(err, spool.Close())
	}
	if err := errors.Join(checker.Check(number, again), again.Close()); err != nil {
		refused := api.NewProblem(api.CodeInvalid, "%v; slot %d is as it was", err, number)
		return nil, nil, errors.Join(refused, spool.Close())
	}
	if again, err = spool.Reader(); err != nil {
		return nil, nil, errors.Join(err, spool.Close())
	}
	return again, func() error { return errors.Join(again.Close(), spool.Close()) }, nil
}

// beginRestore lets one restore of the slot in at a time: the pieces of two would make one state.
func (s *slot) beginRestore(over bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.restores:
		return api.NewProblem(api.CodeConflict, "slot %d is being restored already", s.number)
	case s.last > 0 && !over:
		return api.NewProblem(api.CodeConflict, "slot %d has state already", s.number).WithNext("restore over it with ?over=true")
	}
	s.restores = true
	return nil
}

func (s *slot) restoreEnded() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.restores = false
	s.forgetPieces()
}

// forgetPieces ends a restore that broke off, be it under another primary: while one is under way the slot is
// neither copied nor its log trimmed. The slot is locked.
func (s *slot) forgetPieces() {
	if s.pieces == 0 || s.restores || s.lead == nil || !s.lead.serves() || s.lead.forgot == s.pieces {
		return
	}
	s.lead.forgot = s.pieces
	s.extend(recordRestore, []byte{pieceNone})
}

// recordPieces appends the state, piece by piece. One that breaks off is not taken for a whole: its end is never
// appended, and what was is forgotten by the next that begins.
func (s *slot) recordPieces(ctx context.Context, stay *stay, state io.Reader) error {
	kind := pieceFirst
	for {
		piece := make([]byte, 1, 1+pieceSize)
		piece[0] = kind
		piece, ended, err := fill(piece, state)
		if err != nil {
			return fmt.Errorf("cannot read the state: %w", err)
		}
		if err := s.recordPiece(ctx, stay, piece); err != nil {
			return err
		}
		if ended {
			return s.recordPiece(ctx, stay, []byte{pieceLast})
		}
		kind = pieceNext
	}
}

// fill reads until a piece is full or the state ends.
func fill(piece []byte, state io.Reader) (filled []byte, ended bool, err error) {
	for len(piece) < cap(piece) {
		n, err := state.Read(piece[len(piece):cap(piece)])
		piece = piece[:len(piece)+n]
		if errors.Is(err, io.EOF) {
			return piece, true, nil
		}
		if err != nil {
			return nil, false, err
		}
	}
	return piece, false, nil
}

func (s *slot) recordPiece(ctx context.Context, stay *stay, piece []byte) error {
	w, err := s.record(stay, recordRestore, piece, func() {})
	if err != nil {
		return err
	}
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		return outcomeUnknown()
	}
}

// Backup writes the slot's state as it was at some moment during the call; begin is called first, with the
// epoch and the record after which the state was so.
func (e *Engine) Backup(ctx context.Context, number api.Slot, begin func(api.Epoch, ownership.Seq) (io.Writer, error)) error {
	s := e.slot(number)
	stay, err := s.enter(ctx)
	if err != nil {
		return err
	}
	view, epoch, at, err := s.viewConfirmed(ctx, stay)
	stay.leave()
	if err != nil {
		return err
	}
	defer view.Close()
	w, err := begin(epoch, at)
	if err != nil {
		return err
	}
	_, err = view.WriteTo(w)
	return err
}

// viewConfirmed holds on to a state that is current.
func (s *slot) viewConfirmed(ctx context.Context, stay *stay) (View, api.Epoch, seq, error) {
	s.applying.Lock()
	at := s.appliedSoFar()
	view, err := s.engine.view(s.number)
	s.applying.Unlock()
	if err != nil {
		return nil, 0, 0, err
	}
	if err := s.settleRead(ctx, stay, nil); err != nil {
		return nil, 0, 0, errors.Join(err, view.Close())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return view, s.meta.Adopted, at, nil
}

// Digest is of the slot's state, and after which record that is; replicas with the same state have the same.
func (e *Engine) Digest(number api.Slot) (at ownership.Seq, digest [32]byte, err error) {
	s := e.slot(number)
	s.applying.Lock()
	defer s.applying.Unlock()
	hash := sha256.New()
	if err := e.config.Service.Snapshot(number, hash); err != nil {
		return 0, digest, fmt.Errorf("cannot read slot %d: %w", number, err)
	}
	return s.appliedSoFar(), [32]byte(hash.Sum(nil)), nil
}
