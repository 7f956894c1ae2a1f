package api_test

import (
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
)

func TestParseKeyRule(t *testing.T) {
	f := func(text string, want api.KeyRule) {
		t.Helper()
		got, err := api.ParseKeyRule(text)
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	}
	f("header:X-Shard-Key", api.KeyRule{Source: api.KeyFromHeader, Name: "X-Shard-Key"})
	f("header:cookie", api.KeyRule{Source: api.KeyFromHeader, Name: "cookie"})
	f("query:tenant", api.KeyRule{Source: api.KeyFromQuery, Name: "tenant"})
	f("query:a[b]", api.KeyRule{Source: api.KeyFromQuery, Name: "a[b]"})
	f("path:/kv/{key}", api.KeyRule{Source: api.KeyFromPath, Prefix: "/kv/"})
	f("path:/{key}", api.KeyRule{Source: api.KeyFromPath, Prefix: "/"})
	f("path:/v1/{key}/items", api.KeyRule{Source: api.KeyFromPath, Prefix: "/v1/", Suffix: "/items"})
	f("path:/v1/{key}/", api.KeyRule{Source: api.KeyFromPath, Prefix: "/v1/", Suffix: "/"})
	f("path:/files/{key...}", api.KeyRule{Source: api.KeyFromPath, Prefix: "/files/", Rest: true})
	f("path:/{key...}", api.KeyRule{Source: api.KeyFromPath, Prefix: "/", Rest: true})
}

func TestParseKeyRuleRefuses(t *testing.T) {
	f := func(text, part string) {
		t.Helper()
		if _, err := api.ParseKeyRule(text); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: got %v, want %q", text, err, part)
		}
	}
	f("", "no colon")
	f("X-Shard-Key", "no colon")
	f("body:/id", "begins with none")
	f("Header:X", "begins with none")
	f("cookie:session", "not in this version")
	f("host:{key}.example.com", "not in this version")
	f("json:/user/id", "not in this version")
	f("header:", "not a header name")
	f("header:X Key", "not a header name")
	f("header:X-Schlüssel", "not a header name")
	f("header:stead-slot", "proxy's own")
	f("header:connection", "one connection")
	f("header:Host", "one connection")
	f("query:", "not a plain")
	f("query:a&b", "not a plain")
	f("query:a%20b", "not a plain")
	f("query:ä", "not a plain")
	f("path:", "not a path")
	f("path:kv/{key}", "not a path")
	f("path:/kv?{key}", "not a path")
	f("path:/k v/{key}", "not a path")
	f("path:/kv", "exactly one")
	f("path:/kv-{key}", "exactly one")
	f("path:/kv/{key}x", "exactly one")
	f("path:/{key}/{key}", "exactly one")
	f("path:/{id}/{key}", "exactly one")
	f("path:/kv{key...}", "must follow a /")
	f("path:/{key}/{key...}", "must follow a /")
	f("path:/{key...}/x", "exactly one")
}

func TestParseKeyRules(t *testing.T) {
	f := func(texts []string, field string) {
		t.Helper()
		rules, problem := api.ParseKeyRules(texts)
		switch {
		case problem == nil && (field != "" || len(rules) != len(texts)):
			t.Errorf("%q: got %+v", texts, rules)
		case problem != nil && (problem.Field != field || problem.Code != api.CodeInvalid):
			t.Errorf("%q: got %v", texts, problem)
		}
	}
	f([]string{"header:X-Shard-Key", "path:/kv/{key}"}, "")
	f(nil, "keys")
	f(make([]string, api.KeyRulesMax+1), "keys")
	f([]string{"query:a", ""}, "keys[1]")
	f([]string{"query:a", "query:" + strings.Repeat("b", api.KeyRuleLengthMax)}, "keys[1]")
	f([]string{"query:a", "nonsense"}, "keys[1]")
	f([]string{"query:a", "query:b", "query:a"}, "keys[2]")
}

// FuzzParseKeyRule writes every rule that is read back out: nothing may be lost or smuggled in.
func FuzzParseKeyRule(f *testing.F) {
	for _, text := range []string{
		"header:X-Shard-Key", "query:tenant", "path:/kv/{key}", "path:/a/{key}/b", "path:/files/{key...}", "json:/id", "path:/{key}{key...}",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rule, err := api.ParseKeyRule(text)
		if err != nil {
			return
		}
		written := string(rule.Source) + ":" + rule.Name
		if rule.Source == api.KeyFromPath {
			placeholder := map[bool]string{true: "{key...}", false: "{key}"}[rule.Rest]
			written += rule.Prefix + placeholder + rule.Suffix
		}
		if written != text {
			t.Errorf("%q was read as %q", text, written)
		}
		if strings.ContainsAny(text, " \t\r\n\x00") {
			t.Errorf("%q has blanks", text)
		}
	})
}
