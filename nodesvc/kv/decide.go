package kv

import (
	"errors"
	"net/http"
	"time"

	"github.com/stead-io/stead/api"
)

// write is a PUT or DELETE as it was asked for.
type write struct {
	method      string
	at          Place
	wanted      conditions
	idempotency string // key; "": none
	fingerprint fingerprint
	entry       Entry // of a PUT; its version is that of the write
}

// verdict is what becomes of a write: a record, or without one the answer given before.
type verdict struct {
	record []byte
	given  written
}

// conflict says that a write's conditions do not hold; tag is that of the entry as it is, "" for none.
type conflict struct{ tag string }

func (*conflict) Error() string { return "the entry is not what the request demands" }

// decide decides a write by the state as it is, with the key locked: what comes of the record is certain then.
func (s *store) decide(asked write, now time.Time) (verdict, error) {
	if asked.idempotency != "" {
		given, found, err := s.answerTo(asked.at, asked.idempotency)
		switch {
		case err != nil:
			return verdict{}, err
		case found && given.fingerprint != asked.fingerprint:
			return verdict{}, api.NewProblem(api.CodeKeyReused, "%s came with another write of this sharding key", asked.idempotency).
				InField(api.HeaderIdempotencyKey)
		case found:
			return verdict{given: given.written}, nil
		}
	}
	outcome, err := s.outcomeOf(asked)
	if err != nil {
		return verdict{}, err
	}
	r := record{
		outcome: outcome, at: asked.at, time: uint64(now.UnixMilli()),
		idempotency: asked.idempotency, fingerprint: asked.fingerprint,
	}
	if outcome != deleted {
		r.entry = asked.entry
	}
	return verdict{record: r.append(), given: written{outcome: outcome, version: r.entry.Version}}, nil
}

// outcomeOf is what a write would do; ErrAbsent or a *conflict if nothing.
func (s *store) outcomeOf(asked write) (outcome, error) {
	tag := ""
	entry, err := s.Get(asked.at)
	switch {
	case err == nil:
		tag = entry.Version.ETag()
	case !errors.Is(err, ErrAbsent):
		return 0, err
	}
	switch {
	case asked.wanted.check(asked.method, tag) != http.StatusOK:
		return 0, &conflict{tag: tag}
	case asked.method == http.MethodPut && tag == "":
		return created, nil
	case asked.method == http.MethodPut:
		return replaced, nil
	case tag == "":
		return 0, ErrAbsent
	default:
		return deleted, nil
	}
}
