package api

import (
	"encoding/hex"
	"fmt"
	"net/url"
)

// ErrKeyCoding refuses text that is no percent-coded sharding key; see DecodeKey.
var ErrKeyCoding = fmt.Errorf("not a percent-coded key of 1 to %d octets", KeyLengthMax)

const upperHex = "0123456789ABCDEF"

// EncodeKey writes a key's octets as they travel in HeaderKey: A-Z a-z 0-9 - . _ ~ stand for
// themselves, every other octet is %XX with upper-case digits. A key has exactly one such form.
func EncodeKey(key []byte) string { return string(AppendKey(nil, key)) }

// AppendKey appends what EncodeKey would return.
func AppendKey(dst, key []byte) []byte {
	for _, c := range key {
		if unreserved(c) {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&0xF])
		}
	}
	return dst
}

// DecodeKey reads what EncodeKey wrote. Any other form is refused, and so are keys that are empty
// or longer than KeyLengthMax: the error is ErrKeyCoding.
func DecodeKey(text string) ([]byte, error) {
	if text == "" || len(text) > 3*KeyLengthMax {
		return nil, ErrKeyCoding
	}
	key := make([]byte, 0, min(len(text), KeyLengthMax))
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '%' {
			if i+2 >= len(text) {
				return nil, ErrKeyCoding
			}
			high, low := upperHexDigit(text[i+1]), upperHexDigit(text[i+2])
			if high < 0 || low < 0 || unreserved(byte(high<<4|low)) {
				return nil, ErrKeyCoding
			}
			c = byte(high<<4 | low)
			i += 2
		} else if !unreserved(c) {
			return nil, ErrKeyCoding
		}
		key = append(key, c)
	}
	if len(key) > KeyLengthMax {
		return nil, ErrKeyCoding
	}
	return key, nil
}

// unreserved is RFC 3986, section 2.3: the octets that percent-coding leaves alone.
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

func upperHexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	default:
		return -1
	}
}

// AskedKey reads the key that a query names for a look-up: key, form-decoded, so that '+' is a space;
// or key_hex, for any octets.
func AskedKey(query url.Values) ([]byte, *Problem) {
	if query.Has("key") == query.Has("key_hex") {
		return nil, NewProblem(CodeInvalid, "exactly one of key and key_hex is needed").InField("key")
	}
	key := []byte(query.Get("key"))
	if query.Has("key_hex") {
		raw, err := hex.DecodeString(query.Get("key_hex"))
		if err != nil {
			return nil, NewProblem(CodeInvalid, "it is not hexadecimal").InField("key_hex")
		}
		key = raw
	}
	if len(key) == 0 || len(key) > KeyLengthMax {
		return nil, NewProblem(CodeBadKey, "a key has 1 to %d octets, not %d", KeyLengthMax, len(key)).InField("key")
	}
	return key, nil
}
