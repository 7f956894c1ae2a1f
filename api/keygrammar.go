package api

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

func headerRule(text, name string) (KeyRule, error) {
	if !isToken(name) {
		return KeyRule{}, fmt.Errorf("key rule %q: %q is not a header name", Clip(text), Clip(name))
	}
	if strings.HasPrefix(strings.ToLower(name), "stead-") {
		return KeyRule{}, fmt.Errorf("key rule %q: Stead-* headers are the proxy's own", Clip(text))
	}
	for _, hop := range hopByHop {
		if strings.EqualFold(name, hop) {
			return KeyRule{}, fmt.Errorf("key rule %q: %s belongs to one connection and is not forwarded", Clip(text), hop)
		}
	}
	return KeyRule{Source: KeyFromHeader, Name: name}, nil
}

// hopByHop are headers that no proxy may forward (RFC 9110, section 7.6.1) or that frame the message.
var hopByHop = []string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
	"TE", "Trailer", "Transfer-Encoding", "Upgrade", "Content-Length", "Host",
}

func queryRule(text, name string) (KeyRule, error) {
	if name == "" || strings.ContainsAny(name, "&=#%+ ") || !isPrintable(name) {
		return KeyRule{}, fmt.Errorf("key rule %q: %q is not a plain query parameter name", Clip(text), Clip(name))
	}
	return KeyRule{Source: KeyFromQuery, Name: name}, nil
}

func pathRule(text, pattern string) (KeyRule, error) {
	if !strings.HasPrefix(pattern, "/") || strings.ContainsAny(pattern, "?# ") || !isPrintable(pattern) {
		return KeyRule{}, fmt.Errorf("key rule %q: the pattern is not a path such as /kv/{key}", Clip(text))
	}
	if prefix, found := strings.CutSuffix(pattern, "{key...}"); found {
		if !strings.HasSuffix(prefix, "/") || strings.ContainsAny(prefix, "{}") {
			return KeyRule{}, fmt.Errorf("key rule %q: {key...} must follow a / and be the only placeholder", Clip(text))
		}
		return KeyRule{Source: KeyFromPath, Prefix: prefix, Rest: true}, nil
	}
	prefix, suffix, found := strings.Cut(pattern, "{key}")
	if !found || !strings.HasSuffix(prefix, "/") || suffix != "" && suffix[0] != '/' || strings.ContainsAny(prefix+suffix, "{}") {
		return KeyRule{}, fmt.Errorf("key rule %q: exactly one whole segment must be {key}", Clip(text))
	}
	return KeyRule{Source: KeyFromPath, Prefix: prefix, Suffix: suffix}, nil
}

func cookieRule(text, name string) (KeyRule, error) {
	if !isToken(name) {
		return KeyRule{}, fmt.Errorf("key rule %q: %q is not a cookie name", Clip(text), Clip(name))
	}
	return KeyRule{Source: KeyFromCookie, Name: name}, nil
}

// hostRule takes no {key} without a suffix: it would read one label where all of them are meant.
func hostRule(text, pattern string) (KeyRule, error) {
	suffix, rest := strings.CutPrefix(pattern, "{key...}")
	if !rest {
		var single bool
		if suffix, single = strings.CutPrefix(pattern, "{key}"); !single || suffix == "" {
			return KeyRule{}, fmt.Errorf("key rule %q: the pattern is neither {key}.some.domain nor {key...}", Clip(text))
		}
	}
	if suffix != "" && !isDomain(suffix) {
		return KeyRule{}, fmt.Errorf("key rule %q: %q is not a dot and a domain in lower case", Clip(text), Clip(suffix))
	}
	return KeyRule{Source: KeyFromHost, Suffix: suffix, Rest: rest}, nil
}

// isDomain accepts labels of letters, digits, '-' and '_', each behind a dot.
func isDomain(suffix string) bool {
	labels := strings.Split(suffix, ".")
	for i, label := range labels {
		if (label == "") != (i == 0) {
			return false
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return len(labels) > 1
}

// jsonRule takes no pointer to the whole document: a body that is one string names no member.
func jsonRule(text, pointer string) (KeyRule, error) {
	if !strings.HasPrefix(pointer, "/") || !isPointerText(pointer) {
		return KeyRule{}, fmt.Errorf("key rule %q: %q is not a JSON pointer such as /user/id", Clip(text), Clip(pointer))
	}
	for rest := pointer; ; {
		_, behind, found := strings.Cut(rest, "~")
		if !found {
			return KeyRule{Source: KeyFromJSON, Name: pointer}, nil
		}
		if !strings.HasPrefix(behind, "0") && !strings.HasPrefix(behind, "1") {
			return KeyRule{}, fmt.Errorf("key rule %q: in a JSON pointer ~ is written ~0, and / in a name ~1", Clip(text))
		}
		rest = behind
	}
}

func isPointerText(pointer string) bool {
	for _, c := range pointer {
		if !unicode.IsGraphic(c) || unicode.IsSpace(c) || c == utf8.RuneError {
			return false
		}
	}
	return true
}

func isToken(name string) bool {
	for _, c := range []byte(name) {
		letterOrDigit := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letterOrDigit && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return name != ""
}

func isPrintable(text string) bool {
	for _, c := range []byte(text) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}
