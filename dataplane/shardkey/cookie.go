package shardkey

import (
	"bytes"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/dataplane/wire"
)

// fromCookie reads a cookie key (RFC 6265, section 4.2.1). Programs differ in what they make of a name
// that stands twice, of white space and of quotes, so a key is where all of them see the same one.
func (r *Request) fromCookie(rule *api.KeyRule) (key []byte, applies bool, problem *api.Problem) {
	fields := 0
	for i := range r.Headers.Len() {
		name, list := r.Headers.At(i)
		if !wire.EqualFold(name, "Cookie") {
			continue
		}
		fields++
		for more := true; more; {
			var pair []byte
			pair, list, more = bytes.Cut(list, []byte{';'})
			cookie, value, _ := bytes.Cut(trimmed(pair), []byte{'='})
			if string(trimmed(cookie)) != rule.Name {
				continue
			}
			if applies {
				return nil, true, bad("%s stands twice", where(rule))
			}
			if len(cookie) != len(rule.Name) {
				return nil, true, bad("white space stands behind the name of %s", where(rule))
			}
			key, applies = value, true
		}
	}
	switch {
	case !applies:
		return nil, false, nil
	case fields > 1:
		return nil, true, bad("the header Cookie stands twice")
	case r.connectionNames("Cookie"):
		return nil, true, bad("Connection names the header Cookie")
	}
	for _, c := range key {
		if !inCookieValue(c) {
			return nil, true, bad("%s holds an octet that no cookie may hold", where(rule))
		}
	}
	return checked(key, rule)
}

// inCookieValue accepts a cookie-octet (RFC 6265, section 4.1.1): no control, white space, quote,
// comma, semicolon or backslash.
func inCookieValue(c byte) bool {
	return c > ' ' && c < 0x7F && c != '"' && c != ',' && c != ';' && c != '\\'
}

// trimmed is text without the white space around it.
func trimmed(text []byte) []byte {
	for len(text) > 0 && (text[0] == ' ' || text[0] == '\t') {
		text = text[1:]
	}
	for len(text) > 0 && (text[len(text)-1] == ' ' || text[len(text)-1] == '\t') {
		text = text[:len(text)-1]
	}
	return text
}
