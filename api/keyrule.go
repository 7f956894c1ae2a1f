package api

import (
	"fmt"
	"strings"
)

// KeySource says which part of a request a key rule reads.
type KeySource string

// Sources of the sharding key.
const (
	KeyFromHeader KeySource = "header"
	KeyFromPath   KeySource = "path"
	KeyFromQuery  KeySource = "query"
	KeyFromCookie KeySource = "cookie"
	KeyFromHost   KeySource = "host"
	KeyFromJSON   KeySource = "json"
)

// KeyRule is one parsed rule of Settings.Keys.
//
//	header:X-Shard-Key         the value of that header, exactly as sent
//	path:/kv/{key}             one raw path segment, percent-decoded once
//	path:/files/{key...}       the rest of the raw path, percent-decoded once
//	query:tenant               the value of that query parameter, percent-decoded once ('+' stays '+')
//	cookie:session             the value of that cookie, exactly as sent
//	host:{key}.example.com     one label of the host name, in lower case
//	host:{key...}.example.com  all labels before the suffix, in lower case; without a suffix, the host name
//	json:/user/id              the string or integer at that JSON pointer (RFC 6901) in the body
type KeyRule struct {
	Source KeySource
	Name   string // of header, parameter or cookie; the JSON pointer; empty for a path or host
	Prefix string // raw path before the key, beginning with "/"
	Suffix string // raw path after the key segment, or host name after the key, beginning with "."
	Rest   bool   // {key...}: the key is everything behind Prefix, or before Suffix
}

// ParseKeyRule reads one rule.
func ParseKeyRule(text string) (KeyRule, error) {
	source, rest, found := strings.Cut(text, ":")
	if !found {
		return KeyRule{}, fmt.Errorf("key rule %q has no colon; write header:Name, path:/kv/{key}, query:name, cookie:name, host:{key}.example.com or json:/pointer", Clip(text))
	}
	switch KeySource(source) {
	case KeyFromHeader:
		return headerRule(text, rest)
	case KeyFromQuery:
		return queryRule(text, rest)
	case KeyFromPath:
		return pathRule(text, rest)
	case KeyFromCookie:
		return cookieRule(text, rest)
	case KeyFromHost:
		return hostRule(text, rest)
	case KeyFromJSON:
		return jsonRule(text, rest)
	default:
		return KeyRule{}, fmt.Errorf("key rule %q begins with none of header, path, query, cookie, host, json", Clip(text))
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
