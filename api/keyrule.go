package api

import (
	"fmt"
	"strings"
)

// KeySource says which part of a request a key rule reads.
type KeySource string

// Sources of the sharding key. Cookie, host and JSON pointer rules are named in the contract and
// come with a later version; until then they are refused as unsupported.
const (
	KeyFromHeader KeySource = "header"
	KeyFromPath   KeySource = "path"
	KeyFromQuery  KeySource = "query"
)

// KeyRule is one parsed rule of Settings.Keys.
//
//	header:X-Shard-Key     the value of that header, exactly as sent
//	path:/kv/{key}         one raw path segment, percent-decoded once
//	path:/files/{key...}   the rest of the raw path, percent-decoded once
//	query:tenant           the value of that query parameter, percent-decoded once ('+' stays '+')
type KeyRule struct {
	Source KeySource
	Name   string // header or query name; empty for a path
	Prefix string // raw path before the key, beginning with "/"
	Suffix string // raw path after the key segment
	Rest   bool   // {key...}: the key is everything behind Prefix
}

// ParseKeyRule reads one rule.
func ParseKeyRule(text string) (KeyRule, error) {
	source, rest, found := strings.Cut(text, ":")
	if !found {
		return KeyRule{}, fmt.Errorf("key rule %q has no colon; write header:Name, path:/kv/{key} or query:name", Clip(text))
	}
	switch KeySource(source) {
	case KeyFromHeader:
		return headerRule(text, rest)
	case KeyFromQuery:
		return queryRule(text, rest)
	case KeyFromPath:
		return pathRule(text, rest)
	case "cookie", "host", "json":
		return KeyRule{}, fmt.Errorf("key rule %q: %s rules are not in this version", Clip(text), source)
	default:
		return KeyRule{}, fmt.Errorf("key rule %q begins with none of header, path, query", Clip(text))
	}
}

// ParseKeyRules reads all rules, and refuses two that are the same.
func ParseKeyRules(texts []string) ([]KeyRule, *Problem) {
	if problem := ValidateKeyRules(texts); problem != nil {
		return nil, problem
	}
	rules := make([]KeyRule, 0, len(texts))
	for i, text := range texts {
		field := fmt.Sprintf("keys[%d]", i)
		rule, err := ParseKeyRule(text)
		if err != nil {
			return nil, NewProblem(CodeInvalid, "%v", err).InField(field)
		}
		for _, earlier := range rules {
			if earlier.same(rule) {
				return nil, NewProblem(CodeInvalid, "%q stands twice", Clip(text)).InField(field)
			}
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

// same reports whether two rules read the same; header names do not differ by case.
func (r KeyRule) same(other KeyRule) bool {
	if r.Source == KeyFromHeader && strings.EqualFold(r.Name, other.Name) {
		r.Name = other.Name
	}
	return r == other
}

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
