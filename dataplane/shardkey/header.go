package shardkey

import (
	"bytes"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/dataplane/wire"
)

// fromHeader reads a header key. Whatever another program could take for the same header counts:
// a repetition, a name with another mark in place of '-', or a key that Connection would have an
// intermediary delete.
func (r *Request) fromHeader(rule *api.KeyRule) (key []byte, applies bool, problem *api.Problem) {
	connection := false
	for i := range r.Headers.Len() {
		name, value := r.Headers.At(i)
		if wire.EqualFold(name, "Connection") {
			connection = true
		}
		if !wire.SameName(name, rule.Name) {
			continue
		}
		if applies {
			return nil, true, bad("the header %s stands twice", rule.Name)
		}
		if !wire.EqualFold(name, rule.Name) {
			return nil, true, bad("the header %s could be taken for %s", name, rule.Name)
		}
		key, applies = value, true
	}
	if !applies {
		return nil, false, nil
	}
	if connection && r.connectionNames(rule.Name) {
		return nil, true, bad("Connection names the key header %s", rule.Name)
	}
	for _, c := range key {
		if c < ' ' || c == 0x7F {
			return nil, true, bad("the header %s holds a control octet", rule.Name)
		}
	}
	return checked(key, rule)
}

func (r *Request) connectionNames(key string) bool {
	for i := range r.Headers.Len() {
		name, list := r.Headers.At(i)
		if !wire.EqualFold(name, "Connection") {
			continue
		}
		for more := true; more; {
			var option []byte
			option, list, more = bytes.Cut(list, []byte{','})
			if wire.SameName(bytes.Trim(option, " \t"), key) {
				return true
			}
		}
	}
	return false
}

// HeaderList is Headers for whoever has names and values at hand: pairs of them.
type HeaderList [][2]string

// Len counts the fields.
func (l HeaderList) Len() int { return len(l) }

// At returns a field.
func (l HeaderList) At(i int) (name, value []byte) { return []byte(l[i][0]), []byte(l[i][1]) }
