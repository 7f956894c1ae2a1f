package kv

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

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
	if problem := s.entry(w, r); problem != nil {
		problem.WriteTo(w)
	}
}

func (s *Server) entry(w http.ResponseWriter, r *http.Request) *api.Problem {
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
	at := Place{Hash: route.Hash, Key: route.Key, Name: name}
	switch r.Method {
	case http.MethodPut:
		return s.put(w, r, at, wanted)
	case http.MethodDelete:
		return s.delete(w, at, wanted)
	default:
		return s.get(w, r, at, wanted)
	}
}

func (s *Server) get(w http.ResponseWriter, r *http.Request, at Place, wanted conditions) *api.Problem {
	lock := s.locks.of(at)
	lock.RLock()
	entry, err := s.store.Get(at)
	lock.RUnlock()
	if err != nil {
		return s.storeProblem(err)
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

// put reads the whole body before it takes the lock: a slow client holds nobody up, and a body that
// breaks off stores nothing.
func (s *Server) put(w http.ResponseWriter, r *http.Request, at Place, wanted conditions) *api.Problem {
	contentType, problem := readContentType(r.Header)
	if problem != nil {
		return problem
	}
	value, done, problem := s.uploads.read(w, r)
	defer done()
	if problem != nil {
		return problem
	}
	lock := s.locks.of(at)
	lock.Lock()
	defer lock.Unlock()
	created, problem := s.permit(w, http.MethodPut, at, wanted)
	if problem != nil {
		return problem
	}
	entry := Entry{Version: s.versions.next(), ContentType: contentType, Value: value}
	if err := s.store.Put(at, entry); err != nil {
		return s.storeProblem(err)
	}
	w.Header().Set("ETag", entry.Version.ETag())
	if created {
		w.WriteHeader(http.StatusCreated)
	} else {
		w.WriteHeader(http.StatusNoContent)
	}
	return nil
}

func (s *Server) delete(w http.ResponseWriter, at Place, wanted conditions) *api.Problem {
	lock := s.locks.of(at)
	lock.Lock()
	defer lock.Unlock()
	absent, problem := s.permit(w, http.MethodDelete, at, wanted)
	if problem != nil {
		return problem
	}
	if absent {
		return s.storeProblem(ErrAbsent)
	}
	if err := s.store.Delete(at); err != nil {
		return s.storeProblem(err)
	}
	w.Header().Del("ETag")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// permit checks the conditions of a write under the lock of its place, and reports whether there is
// no entry yet. A refusal carries the ETag of the entry as it is.
func (s *Server) permit(w http.ResponseWriter, method string, at Place, wanted conditions) (absent bool, problem *api.Problem) {
	version, err := s.store.VersionAt(at)
	absent = errors.Is(err, ErrAbsent)
	if err != nil && !absent {
		return false, s.storeProblem(err)
	}
	tag := ""
	if !absent {
		tag = version.ETag()
		w.Header().Set("ETag", tag)
	}
	if wanted.check(method, tag) != http.StatusOK {
		return absent, preconditionFailed()
	}
	return absent, nil
}

func preconditionFailed() *api.Problem {
	return api.NewProblem(api.CodePrecondition, "the entry is not what the request demands")
}

func (s *Server) storeProblem(err error) *api.Problem {
	if errors.Is(err, ErrAbsent) {
		return api.NewProblem(api.CodeNotFound, "there is no such entry")
	}
	s.logger.Error("store failed", "error", err)
	return api.NewProblem(api.CodeStorageFailed, "a write may or may not be on disk")
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
