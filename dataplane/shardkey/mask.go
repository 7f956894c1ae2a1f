package shardkey

import (
	"bytes"

	"github.com/stead-io/stead/api"
)

// masked stands in the place of a key.
const masked = "{key}"

// AppendMasked writes a target for people to read: what any of the rules would take for a key is left out.
func AppendMasked(dst, target []byte, rules []api.KeyRule) []byte {
	path, query, queried := bytes.Cut(target, []byte{'?'})
	dst = appendMaskedPath(dst, path, rules)
	for between := byte('?'); queried; between = '&' {
		var pair []byte
		pair, query, queried = bytes.Cut(query, []byte{'&'})
		dst = append(dst, between)
		name, _, valued := bytes.Cut(pair, []byte{'='})
		if valued && named(name, rules) {
			dst = append(append(append(dst, name...), '='), masked...)
		} else {
			dst = append(dst, pair...)
		}
	}
	return dst
}

// appendMaskedPath leaves out from where the first key begins to where the last one ends.
func appendMaskedPath(dst, path []byte, rules []api.KeyRule) []byte {
	begin, end := len(path), 0
	for i := range rules {
		rule := &rules[i]
		if rule.Source != api.KeyFromPath || !bytes.HasPrefix(path, []byte(rule.Prefix)) {
			continue
		}
		length := bytes.IndexByte(path[len(rule.Prefix):], '/')
		if length < 0 || rule.Rest {
			length = len(path) - len(rule.Prefix)
		}
		if length > 0 {
			begin, end = min(begin, len(rule.Prefix)), max(end, len(rule.Prefix)+length)
		}
	}
	if begin >= end {
		return append(dst, path...)
	}
	return append(append(append(dst, path[:begin]...), masked...), path[end:]...)
}

// named reports whether a key is taken from the query parameter.
func named(parameter []byte, rules []api.KeyRule) bool {
	for i := range rules {
		if rules[i].Source == api.KeyFromQuery && decodesTo(parameter, rules[i].Name) {
			return true
		}
	}
	return false
}
