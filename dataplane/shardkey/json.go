package shardkey

import (
	"bytes"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/dataplane/wire"
)

// BodyMax is the longest body, in octets, that a key is looked for in.
const BodyMax = 256 << 10

// integerMax is the largest magnitude of an integer that every program reads alike (RFC 7493, section
// 2.2): many keep numbers as doubles.
const integerMax = 1<<53 - 1

// fromJSON reads the key out of a body of JSON. Any other body, and one without the member, leaves the
// request to the next rule.
func (r *Request) fromJSON(rule *api.KeyRule) (key []byte, applies bool, problem *api.Problem) {
	if r.Length == 0 {
		return nil, false, nil
	}
	isJSON, problem := r.bodyIsJSON()
	switch {
	case !isJSON:
		return nil, problem != nil, problem
	case r.Length > BodyMax:
		return nil, true, BodyTooLong()
	case r.Length != int64(len(r.Body)):
		return nil, true, needsBody
	}
	value, fault := lookup(r.Body, rule.Name)
	switch {
	case fault != "":
		return nil, true, bad("the body holds no JSON to take a key from: %s", fault)
	case value == nil:
		return nil, false, nil
	case value[0] == '"':
		return r.fromText(value, rule)
	default:
		return fromInteger(value, rule)
	}
}

// BodyTooLong is the problem with a body that has the key in it, and more octets than BodyMax.
func BodyTooLong() *api.Problem {
	return api.NewProblem(api.CodeTooLarge, "the key is in the body, which is longer than %d octets", BodyMax)
}

// bodyIsJSON goes by Content-Type alone. A problem comes with false.
func (r *Request) bodyIsJSON() (bool, *api.Problem) {
	var kind []byte
	coded := false
	for i := range r.Headers.Len() {
		name, value := r.Headers.At(i)
		switch {
		case wire.SameName(name, "Content-Encoding"):
			coded = coded || !wire.EqualFold(value, "identity")
		case !wire.SameName(name, "Content-Type"):
		case kind != nil:
			return false, bad("the header Content-Type stands twice")
		default:
			kind, _, _ = bytes.Cut(value, []byte{';'})
		}
	}
	kind = trimmed(kind)
	_, structured := cutDomain(kind, "+json")
	isJSON := structured || wire.EqualFold(kind, "application/json")
	if isJSON && coded {
		return false, bad("the key is in the body, and Content-Encoding hides it")
	}
	return isJSON, nil
}

// fromText takes a string for the key.
func (r *Request) fromText(value []byte, rule *api.KeyRule) (key []byte, applies bool, problem *api.Problem) {
	const longestEscape = len(`\u0061`) // of one octet
	if len(value) > longestEscape*api.KeyLengthMax+2 {
		return nil, true, tooLong(rule)
	}
	key, whole := unquote(r.decoded[:0], value)
	if !whole {
		return nil, true, bad("%s %s", where(rule), faultSurrogate)
	}
	for _, c := range key {
		if c < ' ' || c == 0x7F {
			return nil, true, bad("%s holds a control octet", where(rule))
		}
	}
	return checked(key, rule)
}

// fromInteger takes the digits of an integer for the key; of one integer there is one spelling.
func fromInteger(value []byte, rule *api.KeyRule) (key []byte, applies bool, problem *api.Problem) {
	digits := bytes.TrimPrefix(value, []byte{'-'})
	magnitude := int64(0)
	for _, c := range digits {
		if c < '0' || c > '9' {
			return nil, true, bad("%s is neither a string nor an integer", where(rule))
		}
		if magnitude = magnitude*10 + int64(c-'0'); magnitude > integerMax {
			return nil, true, bad("%s is an integer beyond 2^53-1, which not all programs read alike; send a string", where(rule))
		}
	}
	if magnitude == 0 && len(digits) < len(value) {
		return nil, true, bad("%s is a second spelling of 0", where(rule))
	}
	return value, true, nil
}
