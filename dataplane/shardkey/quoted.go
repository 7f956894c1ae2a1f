package shardkey

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/stead-io/stead/dataplane/wire"
)

// unquote decodes a well-formed string of JSON, quotes and all: what it stands for is part of quoted
// or, where there are escapes, appended to dst. It is false for half of a surrogate pair, which stands
// for nothing.
func unquote(dst, quoted []byte) (text []byte, whole bool) {
	inner := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return inner, true
	}
	for len(inner) > 0 {
		if inner[0] != '\\' {
			dst = append(dst, inner[0])
			inner = inner[1:]
			continue
		}
		character, size := unescapeJSON(inner)
		if size == 0 {
			return nil, false
		}
		dst = utf8.AppendRune(dst, character)
		inner = inner[size:]
	}
	return dst, true
}

// unescapeJSON reads the escape that text begins with, or two of them that are a surrogate pair; size
// is how much of text that took, 0 for half a pair.
func unescapeJSON(text []byte) (character rune, size int) {
	switch text[1] {
	case 'u':
		character, _ = hex4(text[2:])
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	default:
		return rune(text[1]), 2
	}
	if !utf16.IsSurrogate(character) {
		return character, 6
	}
	if len(text) < 12 || text[6] != '\\' || text[7] != 'u' {
		return 0, 0
	}
	second, _ := hex4(text[8:])
	if character = utf16.DecodeRune(character, second); character == utf8.RuneError {
		return 0, 0
	}
	return character, 12
}

// hex4 reads four hexadecimal digits.
func hex4(text []byte) (value rune, ok bool) {
	if len(text) < 4 {
		return 0, false
	}
	for _, c := range text[:4] {
		digit := wire.HexDigit(c)
		if digit < 0 {
			return 0, false
		}
		value = value<<4 | rune(digit)
	}
	return value, true
}
