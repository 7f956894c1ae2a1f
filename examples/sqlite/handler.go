package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc"
)

// bodyMax bounds a request's body, in bytes.
const bodyMax = 1 << 20

// service answers POST /db/{key}.
type service struct {
	node  *nodesvc.Node
	store *store
}

type request struct {
	Statements []statement `json:"statements"`
}

type response struct {
	Results []result `json:"results"`
}

// ServeHTTP runs the statements of one request in one transaction. Those that look as if they only read go by
// Read, which locks nothing; if they turn out to write they go by Update like all others.
func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	statements, problem := readRequest(w, r)
	if problem != nil {
		problem.WriteTo(w)
		return
	}
	results, err := []result(nil), errReadOnly
	if seemsToRead(statements) {
		results, err = s.read(r, statements)
	}
	if errors.Is(err, errReadOnly) {
		results, err = s.update(r, statements)
	}
	if err != nil {
		nodesvc.WriteError(w, r, err)
		return
	}
	w.Header().Set("Content-Type", api.TypeJSON)
	_ = json.NewEncoder(w).Encode(response{results})
}

func (s *service) read(r *http.Request, statements []statement) (results []result, err error) {
	route, _ := nodesvc.RouteOf(r.Context())
	err = s.node.Read(r.Context(), route.Key, func() error {
		file, err := s.store.file(r.Context(), route.Slot, route.Key)
		if err == nil {
			results, _, err = run(r.Context(), file, statements, true)
		}
		return err
	})
	return results, err
}

// update runs the statements on a copy and proposes what they changed in it: what they did, once, is what
// every replica gets.
func (s *service) update(r *http.Request, statements []statement) (results []result, err error) {
	route, _ := nodesvc.RouteOf(r.Context())
	_, err = s.node.Update(r.Context(), route.Key, func() ([]byte, error) {
		before, err := s.store.file(r.Context(), route.Slot, route.Key)
		if err != nil {
			return nil, err
		}
		var after []byte
		if results, after, err = run(r.Context(), before, statements, false); err != nil {
			return nil, err
		}
		change := difference(route.Key, before, after)
		if len(change.changed) == 0 && len(before) == len(after) {
			return nil, nil
		}
		return change.append(), nil
	})
	return results, err
}

func readRequest(w http.ResponseWriter, r *http.Request) (statements []statement, problem *api.Problem) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return nil, api.NewProblem(api.CodeMethodNotAllowed, "statements are sent with POST")
	}
	if _, found := nodesvc.RouteOf(r.Context()); !found || !strings.HasPrefix(r.URL.Path, "/db/") {
		return nil, api.NewProblem(api.CodeNotFound, "databases live at /db/{key}")
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, bodyMax))
	decoder.UseNumber()
	decoder.DisallowUnknownFields()
	var asked request
	if err := decoder.Decode(&asked); err != nil {
		return nil, api.NewProblem(api.CodeInvalid, "the body is not {\"statements\": [{\"sql\": …, \"args\": […]}]}: %v", err)
	}
	if len(asked.Statements) == 0 || len(asked.Statements) > statementsMax {
		return nil, api.NewProblem(api.CodeInvalid, "there are not 1 to %d", statementsMax).InField("statements")
	}
	return asked.Statements, nil
}

// seemsToRead is a guess: run finds out.
func seemsToRead(statements []statement) bool {
	for _, s := range statements {
		word, _, _ := strings.Cut(strings.TrimSpace(s.SQL), " ")
		switch strings.ToUpper(word) {
		case "SELECT", "WITH", "VALUES", "EXPLAIN":
		default:
			return false
		}
	}
	return true
}
