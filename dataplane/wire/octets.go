package wire

import (
	"bytes"
	"strings"
)

// octetClass is a set of the classes an octet belongs to.
type octetClass uint8

const (
	inToken   octetClass = 1 << iota // RFC 9110, section 5.6.2
	inValue                          // what a field value may hold: no controls but HTAB
	inTarget                         // what a request target may hold
	inHost                           // what the name of a host may hold
	inAddress                        // what an address in brackets may hold
)

// tokenMarks may stand in a token besides letters and digits.
const tokenMarks = "!#$%&'*+-.^_`|~"

var octets = func() (table [256]octetClass) {
	for i := range table {
		c := byte(i)
		letterOrDigit := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if letterOrDigit || strings.IndexByte(tokenMarks, c) >= 0 {
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
		if letterOrDigit || strings.IndexByte("!$&'()*+-.;=_~%", c) >= 0 {
			table[i] |= inHost | inAddress
		}
		if c == ':' {
			table[i] |= inAddress
		}
	}
	return table
}()

func all[T string | []byte](text T, class octetClass) bool {
	for i := range len(text) {
		if octets[text[i]]&class == 0 {
			return false
		}
	}
	return true
}

// IsToken reports a token (RFC 9110, section 5.6.2), as names of methods and fields are.
func IsToken(text []byte) bool { return isToken(text) }

// IsFieldValue reports what may be the value of a field.
func IsFieldValue(text string) bool { return all(text, inValue) }

// IsTarget reports what may stand between method and version.
func IsTarget(text string) bool { return text != "" && all(text, inTarget) }

// IsAuthority reports a host with an optional port, as Host holds it.
func IsAuthority(text string) bool { return isAuthority([]byte(text)) }

func isToken(text []byte) bool      { return len(text) > 0 && all(text, inToken) }
func isFieldValue(text []byte) bool { return all(text, inValue) }

// isAuthority reports a host with an optional port (RFC 9110, section 7.2): a name, or an address in brackets.
func isAuthority(text []byte) bool {
	if len(text) > 0 && text[0] == '[' {
		address, rest, closed := bytes.Cut(text[1:], []byte{']'})
		return closed && len(address) > 0 && all(address, inAddress) && (len(rest) == 0 || rest[0] == ':' && isPort(rest[1:]))
	}
	name, port, _ := bytes.Cut(text, []byte{':'})
	return len(name) > 0 && all(name, inHost) && isPort(port)
}

// isPort reports a port, which may be empty (RFC 3986, section 3.2.3).
func isPort(text []byte) bool {
	port := 0
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
		if port = port*10 + int(c-'0'); port > 1<<16-1 {
			return false
		}
	}
	return true
}

// SameName compares a field name with another, taking letters in either case, and every mark for '-': servers that
// make variables of fields, as CGI does, may do so with '_' alone, or with all marks.
func SameName[T string | []byte](name []byte, other T) bool {
	if len(name) != len(other) {
		return false
	}
	for i, c := range name {
		if c != other[i] && folded[c] != folded[other[i]] {
			return false
		}
	}
	return true
}

// folded is what SameName takes an octet for.
var folded = func() (table [256]byte) {
	for i := range table {
		c := byte(i)
		if table[i] = lower(c); strings.IndexByte(tokenMarks, c) >= 0 {
			table[i] = '-'
		}
	}
	return table
}()

// isAlias reports a name that is another by SameName alone: of those that the proxy knows, none has a mark but '-'.
func isAlias(name []byte) bool {
	for _, c := range name {
		if c != '-' && folded[c] == '-' {
			return true
		}
	}
	return false
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
