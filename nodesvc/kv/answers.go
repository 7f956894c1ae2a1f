package kv

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/stead-io/stead/api"
)

// Bounds of the answers that a slot remembers by idempotency key.
const (
	answersMax = 10_000
	answerAge  = 24 * time.Hour // in log time
	// forgetMax is how many answers one record makes the slot forget: a slot that rested for long does not
	// stand still for it.
	forgetMax = 16
)

// fingerprint tells whether two writes under one idempotency key are the same.
type fingerprint [fingerprintSize]byte

const fingerprintSize = 16

// fingerprintOf a write: of all that its answer depends on.
func fingerprintOf(r *http.Request, asked write) (f fingerprint) {
	digest := sha256.New()
	add := func(part []byte) {
		digest.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		digest.Write(part)
	}
	add([]byte(asked.method))
	add(asked.at.Name)
	add([]byte(asked.entry.ContentType))
	for _, name := range []string{"If-Match", "If-None-Match"} {
		add([]byte(strings.Join(r.Header.Values(name), ",")))
	}
	add(asked.entry.Value)
	copy(f[:], digest.Sum(nil))
	return f
}

// readIdempotencyKey reads the key that a write is named by, "" if there is none.
func readIdempotencyKey(header http.Header) (string, *api.Problem) {
	values := header.Values(api.HeaderIdempotencyKey)
	if len(values) == 0 {
		return "", nil
	}
	invisible := func(c rune) bool { return c <= ' ' || c > '~' }
	if len(values) > 1 || values[0] == "" || len(values[0]) > IdempotencyKeyLengthMax || strings.ContainsFunc(values[0], invisible) {
		return "", api.NewProblem(api.CodeInvalid, "it is not one word of 1 to %d visible ASCII characters", IdempotencyKeyLengthMax).
			InField(api.HeaderIdempotencyKey)
	}
	return values[0], nil
}

// outcome is what a write does: its proposer knows, since nobody else writes the key meanwhile.
type outcome uint8

// Values stand in logs and stores and are never renumbered.
const (
	created  outcome = 1
	replaced outcome = 2
	deleted  outcome = 3
)

// written is what a write is answered with.
type written struct {
	outcome outcome
	version Version // of the entry written; zero of a deletion
}

// remembered is the answer to a write as the slot keeps it.
type remembered struct {
	number      uint64 // its place in line
	fingerprint fingerprint
	written
}

func (a remembered) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, recordForm), a.number)
	dst = append(append(dst, a.fingerprint[:]...), byte(a.outcome))
	return appendVersion(dst, a.version)
}

func readAnswer(raw []byte) (a remembered, err error) {
	if len(raw) != answerSize || raw[0] != recordForm {
		return a, errAnswer
	}
	a.number = binary.BigEndian.Uint64(raw[1:])
	copy(a.fingerprint[:], raw[9:])
	a.outcome = outcome(raw[9+fingerprintSize])
	a.version = readVersion(raw[10+fingerprintSize:])
	return a, nil
}

func answerKey(at Place, idempotency string) []byte {
	return appendNamed(appendPart(nil, at.Slot, partAnswers), at.Hash, at.Key, []byte(idempotency))
}

// remember puts the answer to a record at the end of the line.
func remember(batch *pebble.Batch, slot api.Slot, h *head, r record, given written) error {
	key := answerKey(r.at, r.idempotency)
	kept := remembered{number: h.next, fingerprint: r.fingerprint, written: given}
	waiting := binary.BigEndian.AppendUint64(nil, h.clock)
	waiting = append(waiting, key[slotPrefixSize+1:]...)
	h.next++
	return errors.Join(batch.Set(key, kept.append(nil), nil), batch.Set(lineKey(slot, kept.number), waiting, nil))
}

// forget removes answers from the front of the line: those too old, and those too many for another.
func (s *store) forget(batch *pebble.Batch, slot api.Slot, h *head) error {
	for range forgetMax {
		if h.first == h.next {
			return nil
		}
		front := lineKey(slot, h.first)
		waiting, err := s.raw(front)
		if err != nil {
			return err
		}
		if len(waiting) < 8 {
			return errAnswer
		}
		old := binary.BigEndian.Uint64(waiting)+uint64(answerAge.Milliseconds()) <= h.clock
		if !old && h.next-h.first < answersMax {
			return nil
		}
		if err := s.forgetOne(batch, slices.Concat(appendPart(nil, slot, partAnswers), waiting[8:]), h.first); err != nil {
			return err
		}
		if err := batch.Delete(front, nil); err != nil {
			return err
		}
		h.first++
	}
	return nil
}

// forgetOne removes an answer, unless it was given again since and stands in line a second time.
func (s *store) forgetOne(batch *pebble.Batch, key []byte, number uint64) error {
	raw, err := s.raw(key)
	if err != nil {
		return err
	}
	kept, err := readAnswer(raw)
	if err != nil || kept.number != number {
		return err
	}
	return batch.Delete(key, nil)
}

// answerTo finds what a write under an idempotency key was answered with, if it was.
func (s *store) answerTo(at Place, idempotency string) (kept remembered, found bool, err error) {
	raw, err := s.raw(answerKey(at, idempotency))
	if errors.Is(err, ErrAbsent) {
		return kept, false, nil
	}
	if err == nil {
		kept, err = readAnswer(raw)
	}
	return kept, err == nil, err
}
