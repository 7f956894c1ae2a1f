package kv

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc"
)

// contentTypeDefault is the type of a value that was stored without one.
const contentTypeDefault = "application/octet-stream"

// serveEntry serves /kv/{name} behind the guard.
func (s *Server) serveEntry(w http.ResponseWriter, r *http.Request) {
	if !allow(w, r, http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete) {
		return
	}
	if err := s.entry(w, r); err != nil {
		s.refuse(w, r, err)
	}
}

func (s *Server) entry(w http.ResponseWriter, r *http.Request) error {
	route, found := nodesvc.RouteOf(r.Context())
	if !found {
		return api.NewProblem(api.CodeNoKey, "an entry is named by a sharding key and a name")
	}
	name, problem := readName(rawPath(r.RequestURI))
	if problem != nil {
		return problem
	}
	wanted, problem := readConditions(r.Header)
	if problem != nil {
		return problem
	}
	at := Place{Slot: route.Slot, Hash: route.Hash, Key: route.Key, Name: name}
	switch r.Method {
	case http.MethodPut:
		return s.put(w, r, write{method: r.Method, at: at, wanted: wanted})
	case http.MethodDelete:
		return s.write(w, r, write{method: r.Method, at: at, wanted: wanted})
	default:
		return s.get(w, r, at, wanted)
	}
}

func (s *Server) get(w http.ResponseWriter, r *http.Request, at Place, wanted conditions) error {
	var entry Entry
	err := s.node.Read(r.Context(), at.Key, func() (err error) {
		entry, err = s.store.Get(at)
		return err
	})
	if err != nil {
		return err
	}
	tag := entry.Version.ETag()
	w.Header().Set("ETag", tag)
	switch wanted.check(r.Method, tag) {
	case http.StatusNotModified:
		w.WriteHeader(http.StatusNotModified)
		return nil
	case http.StatusPreconditionFailed:
		return preconditionFailed()
	}
	w.Header().Set("Content-Type", entry.ContentType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Length", strconv.Itoa(len(entry.Value)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(entry.Value) // an error is the client's: it has gone
	}
	return nil
}

// put reads the whole body before the key is locked: a slow client holds nobody up, and a body that
// breaks off stores nothing.
func (s *Server) put(w http.ResponseWriter, r *http.Request, asked write) error {
	contentType, problem := readContentType(r.Header)
	if problem != nil {
		return problem
	}
	value, done, problem := s.uploads.read(w, r)
	defer done()
	if problem != nil {
		return problem
	}
	asked.entry = Entry{ContentType: contentType, Value: value}
	return s.write(w, r, asked)
}

func (s *Server) write(w http.ResponseWriter, r *http.Request, asked write) error {
	var problem *api.Problem
	if asked.idempotency, problem = readIdempotencyKey(r.Header); problem != nil {
		return problem
	}
	if asked.idempotency != "" {
		asked.fingerprint = fingerprintOf(r, asked)
	}
	asked.entry.Version = s.versions.next()
	var decided verdict
	_, err := s.node.Update(r.Context(), asked.at.Key, func() (_ []byte, err error) {
		decided, err = s.store.decide(asked, time.Now())
		return decided.record, err
	})
	if err != nil {
		return err
	}
	if decided.record == nil {
		w.Header().Set(api.HeaderReplayed, "true")
	}
	acknowledge(w, decided.given)
	return nil
}

// acknowledge says what a write did.
func acknowledge(w http.ResponseWriter, given written) {
	if given.outcome != deleted {
		w.Header().Set("ETag", given.version.ETag())
	}
	if given.outcome == created {
		w.WriteHeader(http.StatusCreated)
	} else {
		w.WriteHeader(http.StatusNoContent)
	}
}

// refuse answers a request that came to nothing.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var conflict *conflict
	switch {
	case errors.As(err, &conflict):
		if conflict.tag != "" {
			w.Header().Set("ETag", conflict.tag)
		}
		err = preconditionFailed()
	case errors.Is(err, ErrAbsent):
		err = api.NewProblem(api.CodeNotFound, "there is no such entry")
	case errors.Is(err, nodesvc.ErrBroken):
		s.logger.Error("store failed", "error", err)
		err = api.NewProblem(api.CodeStorageFailed, "a write may or may not be on disk")
	}
	nodesvc.WriteError(w, r, err)
}

func preconditionFailed() *api.Problem {
	return api.NewProblem(api.CodePrecondition, "the entry is not what the request demands")
}

// readContentType reads how the value is to be described, and refuses what would not be kept.
func readContentType(header http.Header) (string, *api.Problem) {
	for _, name := range []string{"Content-Encoding", "Content-Range"} {
		if value := header.Get(name); value != "" && !strings.EqualFold(value, "identity") {
			return "", api.NewProblem(api.CodeInvalid, "it is not kept with the value; send the whole value as plain octets").InField(name)
		}
	}
	contentType := header.Get("Content-Type")
	if len(contentType) > ContentTypeLengthMax {
		return "", api.NewProblem(api.CodeInvalid, "it is longer than %d octets", ContentTypeLengthMax).InField("Content-Type")
	}
	if contentType == "" {
		contentType = contentTypeDefault
	}
	return contentType, nil
}

func valueTooLarge(what string) *api.Problem {
	return api.NewProblem(api.CodeValueTooLarge, "%s: a value is at most %d bytes", what, ValueSizeMax)
}
