// Package shardkey reads the sharding key of a request: request bytes and key rules in, octets of
// the key out.
//
// It is pure, and reads the raw bytes of target and header fields, so that every proxy and
// `stead explain` find the same key in the same request. It owns what counts as a key; it does not
// own the grammar of rules (api.ParseKeyRules) nor the hash. Its invariant: a request yields
// exactly one key, decoded exactly once and changed in no other way, or a problem.
package shardkey

import (
	"bytes"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/dataplane/wire"
)

// Headers are the header fields of a request as its parser found them, values without the white
// space around them.
type Headers interface {
	Len() int
	At(i int) (name, value []byte)
}

// Request is what rules are applied to. It may be used again for other requests, by one goroutine
// at a time.
type Request struct {
	// Target is the raw path and query, as sent: "/kv/a%20b?x=1".
	Target  []byte
	Headers Headers
	// Length is that of the body in octets, negative while it is not known.
	Length int64
	// Body is the whole body once it has been read; see ErrNeedsBody.
	Body []byte

	decoded [api.KeyLengthMax]byte
}

// ErrNoKey says that no rule applies to the request. Its code is no_key.
var ErrNoKey error = api.NewProblem(api.CodeNoKey, "no key rule of the cluster applies to the request").
	WithNext("stead cluster show lists the rules; stead explain applies them to a request")

// ErrNeedsBody says that a rule has to look at the body, of no more than BodyMax octets, which is not there.
var ErrNeedsBody error = needsBody

var needsBody = api.NewProblem(api.CodeNoKey, "the key is in the body, which was not given").
	WithNext("stead explain takes one with --data")

// Extract finds the key by the first rule that applies, and which one that is. The key is part of
// the request's bytes or of the request itself: it is valid until either changes. The error is
// ErrNoKey, ErrNeedsBody, or an *api.Problem of code bad_key or, for a body longer than BodyMax,
// too_large; then rule is the rule that applied.
func Extract(rules []api.KeyRule, request *Request) (key []byte, rule int, err error) {
	for i := range rules {
		key, applies, problem := request.apply(&rules[i])
		if problem != nil {
			return nil, i, problem
		}
		if applies {
			return key, i, nil
		}
	}
	return nil, -1, ErrNoKey
}

func (r *Request) apply(rule *api.KeyRule) (key []byte, applies bool, problem *api.Problem) {
	switch rule.Source {
	case api.KeyFromHeader:
		return r.fromHeader(rule)
	case api.KeyFromPath:
		return r.fromPath(rule)
	case api.KeyFromQuery:
		return r.fromQuery(rule)
	case api.KeyFromCookie:
		return r.fromCookie(rule)
	case api.KeyFromHost:
		return r.fromHost(rule)
	case api.KeyFromJSON:
		return r.fromJSON(rule)
	default:
		return nil, false, nil
	}
}

// path is the raw path, query the raw query behind it.
func (r *Request) path() (path, query []byte) {
	path, query, _ = bytes.Cut(r.Target, []byte{'?'})
	return path, query
}

// fromPath takes an empty segment for no key: a path such as /kv/ names the collection.
func (r *Request) fromPath(rule *api.KeyRule) (key []byte, applies bool, problem *api.Problem) {
	path, _ := r.path()
	if len(path) <= len(rule.Prefix) || string(path[:len(rule.Prefix)]) != rule.Prefix {
		return nil, false, nil
	}
	rest := path[len(rule.Prefix):]
	if rule.Rest {
		return r.decode(rest, rule)
	}
	end := bytes.IndexByte(rest, '/')
	if end < 0 {
		end = len(rest)
	}
	if end == 0 || string(rest[end:]) != rule.Suffix {
		return nil, false, nil
	}
	return r.decode(rest[:end], rule)
}

func (r *Request) fromQuery(rule *api.KeyRule) (key []byte, applies bool, problem *api.Problem) {
	_, query := r.path()
	var raw []byte
	for len(query) > 0 {
		var pair []byte
		pair, query, _ = bytes.Cut(query, []byte{'&'})
		parameter, value, _ := bytes.Cut(pair, []byte{'='})
		if !decodesTo(parameter, rule.Name) {
			continue
		}
		if applies {
			return nil, true, bad("the query parameter %s stands twice", rule.Name)
		}
		raw, applies = value, true
	}
	if !applies {
		return nil, false, nil
	}
	return r.decode(raw, rule)
}

// decode takes percent-coding off once, into the request's own array if there is any.
func (r *Request) decode(raw []byte, rule *api.KeyRule) (key []byte, applies bool, problem *api.Problem) {
	if bytes.IndexByte(raw, '%') < 0 {
		return checked(raw, rule)
	}
	if len(raw) > 3*api.KeyLengthMax {
		return nil, true, tooLong(rule)
	}
	n := 0
	for len(raw) > 0 {
		octet, size := unescape(raw)
		if size == 0 {
			return nil, true, bad("a %% in %s is not followed by two hexadecimal digits", where(rule))
		}
		if n == len(r.decoded) {
			return nil, true, tooLong(rule)
		}
		r.decoded[n] = octet
		n++
		raw = raw[size:]
	}
	return checked(r.decoded[:n], rule)
}

func checked(key []byte, rule *api.KeyRule) ([]byte, bool, *api.Problem) {
	switch {
	case len(key) == 0:
		return nil, true, bad("the key in %s is empty", where(rule))
	case len(key) > api.KeyLengthMax:
		return nil, true, tooLong(rule)
	default:
		return key, true, nil
	}
}

// decodesTo compares a raw query name with a plain one. Names may be percent-coded too: a second
// spelling of the key's name must count as a second key.
func decodesTo(raw []byte, name string) bool {
	for i := range len(name) {
		if len(raw) == 0 {
			return false
		}
		octet, size := unescape(raw)
		if size == 0 || octet != name[i] {
			return false
		}
		raw = raw[size:]
	}
	return len(raw) == 0
}

// unescape reads one octet, percent-coded or not; size is how much of text it took, 0 if the
// coding is malformed.
func unescape(text []byte) (octet byte, size int) {
	if text[0] != '%' {
		return text[0], 1
	}
	if len(text) < 3 {
		return 0, 0
	}
	high, low := wire.HexDigit(text[1]), wire.HexDigit(text[2])
	if high < 0 || low < 0 {
		return 0, 0
	}
	return byte(high<<4 | low), 3
}

func tooLong(rule *api.KeyRule) *api.Problem {
	return bad("the key in %s is longer than %d octets", where(rule), api.KeyLengthMax)
}

func bad(format string, args ...any) *api.Problem {
	return api.NewProblem(api.CodeBadKey, format, args...)
}

func where(rule *api.KeyRule) string {
	switch rule.Source {
	case api.KeyFromHeader:
		return "the header " + rule.Name
	case api.KeyFromQuery:
		return "the query parameter " + rule.Name
	case api.KeyFromCookie:
		return "the cookie " + rule.Name
	case api.KeyFromHost:
		return "the name in Host"
	case api.KeyFromJSON:
		return "the body at " + rule.Name
	default:
		return "the path"
	}
}
