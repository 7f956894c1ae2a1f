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
	f("cookie:session", api.KeyRule{Source: api.KeyFromCookie, Name: "session"})
	f("cookie:__Host-sid", api.KeyRule{Source: api.KeyFromCookie, Name: "__Host-sid"})
	f("host:{key}.example.com", api.KeyRule{Source: api.KeyFromHost, Suffix: ".example.com"})
	f("host:{key...}.a-b_c.1", api.KeyRule{Source: api.KeyFromHost, Suffix: ".a-b_c.1", Rest: true})
	f("host:{key...}", api.KeyRule{Source: api.KeyFromHost, Rest: true})
	f("json:/user/id", api.KeyRule{Source: api.KeyFromJSON, Name: "/user/id"})
	f("json:/", api.KeyRule{Source: api.KeyFromJSON, Name: "/"})
	f("json:/a~1b/~0/0/größe", api.KeyRule{Source: api.KeyFromJSON, Name: "/a~1b/~0/0/größe"})
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
	f("host", "no colon")
	f("cookie:", "not a cookie name")
	f("cookie:a b", "not a cookie name")
	f("cookie:a=b", "not a cookie name")
	f("cookie:sitzung-ä", "not a cookie name")
	f("host:", "neither {key}")
	f("host:{key}", "neither {key}")
	f("host:example.com", "neither {key}")
	f("host:api-{key}.example.com", "neither {key}")
	f("host:{key}example.com", "not a dot and a domain")
	f("host:{key}.", "not a dot and a domain")
	f("host:{key}..com", "not a dot and a domain")
	f("host:{key}.Example.com", "not a dot and a domain")
	f("host:{key}.example.com.", "not a dot and a domain")
	f("host:{key}.example.com:80", "not a dot and a domain")
	f("host:{key}.{key}", "not a dot and a domain")
	f("host:{key...}.", "not a dot and a domain")
	f("host:{key...}{key}", "not a dot and a domain")
	f("json:", "not a JSON pointer")
	f("json:id", "not a JSON pointer")
	f("json:#/id", "not a JSON pointer")
	f("json:/user id", "not a JSON pointer")
	f("json:/a\x00", "not a JSON pointer")
	f("json:/a\xff", "not a JSON pointer")
	f("json:/a~", "~0")
	f("json:/a~2", "~0")
	f("json:/~0~", "~0")
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
	f([]string{"cookie:a", "cookie:A", "header:a", "json:/a", "host:{key}.a", "host:{key...}.a"}, "")
	f([]string{"cookie:a", "cookie:a"}, "keys[1]")
}

// FuzzParseKeyRule writes every rule that is read back out: nothing may be lost or smuggled in.
func FuzzParseKeyRule(f *testing.F) {
	for _, text := range []string{
		"header:X-Shard-Key", "query:tenant", "path:/kv/{key}", "path:/a/{key}/b", "path:/files/{key...}", "json:/id", "path:/{key}{key...}",
		"cookie:sid", "host:{key}.example.com", "host:{key...}", "json:/a~0b/~1",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rule, err := api.ParseKeyRule(text)
		if err != nil {
			return
		}
		written := string(rule.Source) + ":" + rule.Name
		if rule.Source == api.KeyFromPath || rule.Source == api.KeyFromHost {
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
