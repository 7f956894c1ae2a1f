package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/stead-io/stead/api"
)

// decodeStrict reads a JSON body whose every field must be known and stand once: a misspelt option is an
// error, never a default. An empty body leaves target as it is.
func decodeStrict(r *http.Request, target any) *api.Problem { return decode(r, target, true) }

// decodeLenient ignores fields it does not know: beats come from newer programs too.
func decodeLenient(r *http.Request, target any) *api.Problem { return decode(r, target, false) }

func decode(r *http.Request, target any, strict bool) *api.Problem {
	body, problem := wholeBody(r)
	if problem != nil || len(bytes.TrimSpace(body)) == 0 {
		return problem
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	if strict {
		decoder.DisallowUnknownFields()
	}
	if err := decoder.Decode(target); err != nil {
		return explain(err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return api.NewProblem(api.CodeInvalid, "something follows the JSON value")
	}
	if name, found := repeated(body); strict && found {
		return api.NewProblem(api.CodeInvalid, "it stands more than once").InField(api.Clip(name))
	}
	return nil
}

// repeated finds a name that stands twice in one object of a JSON value; a decoder takes the last.
func repeated(body []byte) (name string, found bool) {
	type level struct {
		names  map[string]bool // of an object; nil in an array
		inside bool            // a name was read, its value is next
	}
	levels := []level{{}}
	decoder := json.NewDecoder(bytes.NewReader(body))
	for {
		token, err := decoder.Token()
		if err != nil {
			return "", false
		}
		at := &levels[len(levels)-1]
		switch text, isText := token.(string); {
		case isText && at.names != nil && !at.inside:
			if at.names[text] {
				return text, true
			}
			at.names[text], at.inside = true, true
			continue
		case token == json.Delim('{'):
			levels = append(levels, level{names: make(map[string]bool)})
			continue
		case token == json.Delim('['):
			levels = append(levels, level{})
			continue
		case token == json.Delim('}'), token == json.Delim(']'):
			levels = levels[:len(levels)-1]
		}
		levels[len(levels)-1].inside = false
	}
}

// explain names the field that a decoder stumbled over.
func explain(err error) *api.Problem {
	var wrongType *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &wrongType):
		return api.NewProblem(api.CodeInvalid, "a JSON %s does not fit here", wrongType.Value).InField(wrongType.Field)
	case errors.As(err, &syntax):
		return api.NewProblem(api.CodeInvalid, "not JSON: %v at byte %d", syntax, syntax.Offset)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return api.NewProblem(api.CodeInvalid, "the JSON value is cut short")
	}
	if name, found := strings.CutPrefix(err.Error(), "json: unknown field "); found {
		return api.NewProblem(api.CodeInvalid, "there is no such field").InField(strings.Trim(name, `"`))
	}
	return api.NewProblem(api.CodeInvalid, "%s", strings.TrimPrefix(err.Error(), "json: "))
}

// writeJSON answers with a value.
func writeJSON(w http.ResponseWriter, status int, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", api.TypeJSON)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client may be gone
	return nil
}

// checkQuery refuses what would otherwise be dropped in silence: parameters that cannot be read, or
// that stand twice.
func checkQuery(r *http.Request) *api.Problem {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return api.NewProblem(api.CodeInvalid, "the query cannot be read: %v", err)
	}
	for name, values := range query {
		if len(values) > 1 {
			return api.NewProblem(api.CodeInvalid, "it stands %d times", len(values)).InField(api.Clip(name))
		}
	}
	return nil
}

const (
	pageDefault = 50
	pageMax     = 1000
)

// page reads ?before= and ?limit=.
func page(r *http.Request) (before uint64, limit int, problem *api.Problem) {
	query := r.URL.Query()
	if text := query.Get("before"); text != "" {
		number, err := strconv.ParseUint(text, 10, 53)
		if err != nil {
			return 0, 0, api.NewProblem(api.CodeInvalid, "%q is not a number", api.Clip(text)).InField("before")
		}
		before = number
	}
	limit = pageDefault
	if text := query.Get("limit"); text != "" {
		number, err := strconv.Atoi(text)
		if err != nil || number < 1 || number > pageMax {
			return 0, 0, api.NewProblem(api.CodeInvalid, "%q is not between 1 and %d", api.Clip(text), pageMax).InField("limit")
		}
		limit = number
	}
	return before, limit, nil
}
