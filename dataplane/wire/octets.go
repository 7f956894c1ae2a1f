package wire

import "strings"

// octetClass is a set of the classes an octet belongs to.
type octetClass uint8

const (
	inToken  octetClass = 1 << iota // RFC 9110, section 5.6.2
	inValue                         // what a field value may hold: no controls but HTAB
	inTarget                        // what a request target may hold
	inHost                          // what Host may hold: a name, an address, a port
)

var octets = func() (table [256]octetClass) {
	for i := range table {
		c := byte(i)
		letterOrDigit := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if letterOrDigit || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0 {
			table[i] |= inToken
		}
		if c >= ' ' && c != 0x7F || c == '\t' {
			table[i] |= inValue
		}
		// Octets past ASCII are no URI, yet clients send them and no two parsers split on them.
		// '#' would start a fragment for some parsers and not for others.
		if c > ' ' && c != 0x7F && c != '#' {
			table[i] |= inTarget
		}
		if letterOrDigit || strings.IndexByte("!$&'()*+-.;=_~%:[]", c) >= 0 {
			table[i] |= inHost
		}
	}
	return table
}()

func all(text []byte, class octetClass) bool {
	for _, c := range text {
		if octets[c]&class == 0 {
			return false
		}
	}
	return true
}

func isToken(text []byte) bool      { return len(text) > 0 && all(text, inToken) }
func isFieldValue(text []byte) bool { return all(text, inValue) }

// SameName compares a field name with another, taking letters in either case, and '_' for '-'.
func SameName[T string | []byte](name []byte, other T) bool {
	if len(name) != len(other) {
		return false
	}
	for i, c := range name {
		if c != other[i] && foldName(c) != foldName(other[i]) {
			return false
		}
	}
	return true
}

func foldName(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c | 0x20
	case c == '_':
		return '-'
	default:
		return c
	}
}

// EqualFold compares ASCII text, taking letters in either case.
func EqualFold[T string | []byte](text []byte, other T) bool {
	if len(text) != len(other) {
		return false
	}
	for i, c := range text {
		if c != other[i] && lower(c) != lower(other[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// trim removes the white space around a value (RFC 9110, section 5.6.3).
func trim(text []byte) []byte {
	for len(text) > 0 && (text[0] == ' ' || text[0] == '\t') {
		text = text[1:]
	}
	for len(text) > 0 && (text[len(text)-1] == ' ' || text[len(text)-1] == '\t') {
		text = text[:len(text)-1]
	}
	return text
}

// cutItem splits the first element off a comma-separated list; it may be empty.
func cutItem(list []byte) (item, rest []byte) {
	for i, c := range list {
		if c == ',' {
			return trim(list[:i]), list[i+1:]
		}
	}
	return trim(list), nil
}
