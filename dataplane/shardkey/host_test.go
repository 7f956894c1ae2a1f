package shardkey

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
)

func TestHostKeys(t *testing.T) {
	parsed := rules(t, "host:{key}.example.com", "host:{key...}.wide.test", "query:k", "host:{key...}")
	f := func(host, want string) {
		t.Helper()
		if got := outcome(parsed, &Request{Target: []byte("/"), Headers: HeaderList{{"host", host}}}); got != want {
			t.Errorf("%q: got %q, want %q", host, got, want)
		}
	}
	f("acme.example.com", "0:acme")
	f("ACME.Example.COM:8080", "0:acme")
	f("a-1_b.example.com:", "0:a-1_b")
	f("acme.example.com.", "bad_key")
	f("acme.example.com.:80", "bad_key")
	f("acme.example.com:8x", "bad_key")
	f("acme.example.com:80:80", "bad_key")
	f("%61cme.example.com", "bad_key")
	f("ac!me.example.com", "bad_key")
	f("a.wide.test", "1:a")
	f("A.b.Wide.Test:1", "1:a.b")
	f("a..b.wide.test", "bad_key")
	f("example.com", "3:example.com")
	f("a.b.example.com", "3:a.b.example.com")
	f("acmexexample.com", "3:acmexexample.com")
	f("127.0.0.1:80", "3:127.0.0.1")
	f("localhost", "3:localhost")
	f("[::1]:80", "bad_key")
	f("[::1]", "bad_key")
	f("..", "bad_key")
	f("", "no_key")
	f(":80", "no_key")

	f = func(host, want string) {
		t.Helper()
		one := rules(t, "host:{key}.example.com")
		if got := outcome(one, &Request{Target: []byte("/"), Headers: HeaderList{{"Host", host}}}); got != want {
			t.Errorf("%q: got %q, want %q", host, got, want)
		}
	}
	f("example.com", "no_key")
	f(".example.com", "no_key")
	f("[::1]:80", "no_key")
	f("a.b.example.com", "no_key")
	f(strings.Repeat("a", api.KeyLengthMax)+".example.com", "0:"+strings.Repeat("a", api.KeyLengthMax))
	f(strings.Repeat("a", api.KeyLengthMax+1)+".example.com", "bad_key")
	twice := HeaderList{{"Host", "a.example.com"}, {"host", "a.example.com"}}
	if got := outcome(parsed, &Request{Headers: twice}); got != "bad_key" {
		t.Errorf("two hosts: got %q", got)
	}
	if got := outcome(parsed, &Request{Headers: HeaderList{{"X-Host", "a.example.com"}}}); got != "no_key" {
		t.Errorf("without a host: got %q", got)
	}
}

// FuzzHostKey: net/url finds the same name, and however its letters are written it is the same key.
func FuzzHostKey(f *testing.F) {
	f.Add("acme.example.com:80", ".example.com")
	f.Add("A.b.EXAMPLE.com.", ".example.com")
	f.Add("[::1]:80", "")
	f.Fuzz(func(t *testing.T, host, suffix string) {
		rule, err := api.ParseKeyRule("host:{key...}" + suffix)
		if err != nil {
			return
		}
		parsed := []api.KeyRule{rule}
		got := outcome(parsed, &Request{Headers: HeaderList{{"Host", host}}})
		for _, other := range []string{upperASCII(host), lowerASCII(host)} {
			if again := outcome(parsed, &Request{Headers: HeaderList{{"Host", other}}}); again != got {
				t.Fatalf("%q gives %q, %q gives %q", host, got, other, again)
			}
		}
		key, found := strings.CutPrefix(got, "0:")
		if !found {
			return
		}
		target, err := url.Parse("http://" + host + "/")
		if err != nil || strings.ToLower(target.Hostname()) != key+suffix {
			t.Fatalf("%q: the key is %q, net/url has %v, %v", host, key, target, err)
		}
	})
}

func upperASCII(text string) string {
	return strings.Map(func(c rune) rune {
		if 'a' <= c && c <= 'z' {
			return c - 'a' + 'A'
		}
		return c
	}, text)
}

func lowerASCII(text string) string {
	return strings.Map(func(c rune) rune {
		if 'A' <= c && c <= 'Z' {
			return c - 'A' + 'a'
		}
		return c
	}, text)
}
