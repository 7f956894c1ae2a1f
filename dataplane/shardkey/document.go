package shardkey

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// depthMax bounds how deep a document nests.
const depthMax = 100

// Faults of a document.
const (
	faultEncoding  = "it is not UTF-8"
	faultSyntax    = "it is malformed"
	faultDepth     = "it nests too deep"
	faultTwice     = "a member on the way to the key stands twice"
	faultAlias     = "a member could be taken, but for the case of its letters, for one on the way to the key"
	faultSurrogate = "holds half of a surrogate pair"
)

// document is a text of JSON (RFC 8259) that is read through once, whole, for one value. It keeps
// nothing of what it passes.
type document struct {
	text  []byte
	at    int
	depth int
	found []byte // text of the value sought; nil while it was not met
	fault string
}

// lookup finds the text of the value that a pointer (RFC 6901) names; nil if there is none. A document
// in which two programs could find different ones has a fault, and so has one that is malformed
// anywhere.
func lookup(text []byte, pointer string) (value []byte, fault string) {
	if !utf8.Valid(text) {
		return nil, faultEncoding
	}
	d := document{text: text}
	d.space()
	if !d.value(pointer, true) {
		return nil, d.fault
	}
	if d.space(); d.at != len(text) {
		return nil, faultSyntax
	}
	return d.found, ""
}

// value reads one value; sought says that it is on the way to the one at pointer.
func (d *document) value(pointer string, sought bool) bool {
	start := d.at
	if !d.any(pointer, sought && pointer != "") {
		return false
	}
	if sought && pointer == "" {
		d.found = d.text[start:d.at]
	}
	return true
}

func (d *document) any(pointer string, within bool) bool {
	switch c := d.peek(); {
	case c == '{':
		return d.nested(pointer, within, '}')
	case c == '[':
		return d.nested(pointer, within, ']')
	case c == '"':
		return d.quoted()
	case c == '-', '0' <= c && c <= '9':
		return d.number()
	default:
		return d.word("true") || d.word("false") || d.word("null") || d.fail(faultSyntax)
	}
}

// step is what a pointer names in one object or array: a token, and the rest of the pointer behind it.
type step struct {
	within bool // otherwise nothing is sought here
	token  string
	place  int // of an element that the token names, -1 if it cannot
	rest   string
	met    bool // the token has been met
	index  int  // of the next element
}

func stepInto(pointer string, within bool) step {
	if !within {
		return step{}
	}
	token, rest := pointer[1:], ""
	if end := strings.IndexByte(token, '/'); end >= 0 {
		token, rest = token[:end], token[end:]
	}
	if strings.IndexByte(token, '~') >= 0 {
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
	}
	return step{within: true, token: token, place: place(token), rest: rest}
}

// place reads an index: digits without a leading zero, fewer of them than a body has room for elements.
func place(token string) (index int) {
	if token == "" || len(token) > 1 && token[0] == '0' || len(token) > len("262144") {
		return -1
	}
	for _, c := range []byte(token) {
		if c < '0' || c > '9' {
			return -1
		}
		index = index*10 + int(c-'0')
	}
	return index
}

// nested reads an object, or else an array, to the octet that ends it.
func (d *document) nested(pointer string, within bool, end byte) bool {
	if d.depth++; d.depth > depthMax {
		return d.fail(faultDepth)
	}
	s := stepInto(pointer, within)
	d.at++
	d.space()
	for first := true; !d.take(end); first = false {
		if !first {
			if !d.take(',') {
				return d.fail(faultSyntax)
			}
			d.space()
		}
		if end == '}' && !d.member(&s) || end == ']' && !d.element(&s) {
			return false
		}
		d.space()
	}
	d.depth--
	return true
}

func (d *document) member(s *step) bool {
	start := d.at
	if d.peek() != '"' || !d.quoted() {
		return d.fail(faultSyntax)
	}
	sought := false
	if s.within {
		var fit bool
		if sought, fit = d.isSought(d.text[start:d.at], s); !fit {
			return false
		}
	}
	d.space()
	if !d.take(':') {
		return d.fail(faultSyntax)
	}
	d.space()
	return d.value(s.rest, sought)
}

// isSought compares a name with the one that is looked for; fit is false if there is a second that
// could be it. Some programs, Go's encoding/json for one, take names that differ in case for one.
func (d *document) isSought(quoted []byte, s *step) (sought, fit bool) {
	name, whole := unquote(nil, quoted)
	if !whole {
		return false, d.fail("a name " + faultSurrogate)
	}
	switch {
	case string(name) == s.token && s.met:
		return false, d.fail(faultTwice)
	case string(name) == s.token:
		s.met = true
		return true, true
	case bytes.EqualFold(name, []byte(s.token)):
		return false, d.fail(faultAlias)
	default:
		return false, true
	}
}

func (d *document) element(s *step) bool {
	sought := s.within && s.index == s.place
	s.index++
	return d.value(s.rest, sought)
}

// quoted reads a string, with its quotes.
func (d *document) quoted() bool {
	for d.at++; d.at < len(d.text); d.at++ {
		switch c := d.text[d.at]; {
		case c == '"':
			d.at++
			return true
		case c < ' ':
			return d.fail(faultSyntax)
		case c == '\\':
			if !d.escape() {
				return d.fail(faultSyntax)
			}
		}
	}
	return d.fail(faultSyntax)
}

// escape steps onto the last octet of an escape.
func (d *document) escape() bool {
	d.at++
	c := d.peek()
	if c != 'u' {
		return strings.IndexByte(`"\/bfnrt`, c) >= 0
	}
	_, ok := hex4(d.text[d.at+1:])
	d.at += 4
	return ok
}

func (d *document) number() bool {
	d.take('-')
	if !d.take('0') && !d.digits() {
		return d.fail(faultSyntax)
	}
	if d.take('.') && !d.digits() {
		return d.fail(faultSyntax)
	}
	if d.take('e') || d.take('E') {
		if !d.take('+') {
			d.take('-')
		}
		if !d.digits() {
			return d.fail(faultSyntax)
		}
	}
	return true
}

// digits reads at least one.
func (d *document) digits() bool {
	start := d.at
	for c := d.peek(); '0' <= c && c <= '9'; c = d.peek() {
		d.at++
	}
	return d.at > start
}

func (d *document) word(word string) bool {
	if !bytes.HasPrefix(d.text[d.at:], []byte(word)) {
		return false
	}
	d.at += len(word)
	return true
}

func (d *document) space() {
	for c := d.peek(); c == ' ' || c == '\n' || c == '\t' || c == '\r'; c = d.peek() {
		d.at++
	}
}

// peek is the next octet, 0 at the end: no document holds that one outside of strings, nor inside.
func (d *document) peek() byte {
	if d.at == len(d.text) {
		return 0
	}
	return d.text[d.at]
}

func (d *document) take(c byte) bool {
	if d.peek() != c {
		return false
	}
	d.at++
	return true
}

// fail notes the first fault.
func (d *document) fail(fault string) bool {
	if d.fault == "" {
		d.fault = fault
	}
	return false
}
