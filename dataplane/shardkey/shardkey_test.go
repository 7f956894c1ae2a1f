package shardkey

import (
	"bytes"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/dataplane/wire"
)

func rules(t testing.TB, texts ...string) []api.KeyRule {
	t.Helper()
	parsed, problem := api.ParseKeyRules(texts)
	if problem != nil {
		t.Fatal(problem)
	}
	return parsed
}

var devRules = []string{"header:X-Shard-Key", "path:/kv/{key}", "query:tenant", "path:/files/{key...}", "path:/t/{key}/x"}

func TestExtract(t *testing.T) {
	parsed := rules(t, devRules...)
	long := strings.Repeat("k", api.KeyLengthMax)
	// want is "<rule>:<key>", or a problem's code.
	f := func(target string, headers HeaderList, want string) {
		t.Helper()
		key, rule, err := Extract(parsed, &Request{Target: []byte(target), Headers: headers})
		got := string(api.CodeOf(err))
		if err == nil {
			got = string(rune('0'+rule)) + ":" + string(key)
		}
		if got != want {
			t.Errorf("%s %v: got %q (%v), want %q", target, headers, got, err, want)
		}
	}
	header := func(pairs ...string) (list HeaderList) {
		for i := 0; i < len(pairs); i += 2 {
			list = append(list, [2]string{pairs[i], pairs[i+1]})
		}
		return list
	}

	f("/", nil, "no_key")
	f("/", header("X-Shard-Key", "acme"), "0:acme")
	f("/", header("x-shard-KEY", "acme"), "0:acme")
	f("/", header("X-Shard-Key", "Zoë \xff"), "0:Zoë \xff")
	f("/", header("X-Shard-Key", "a%20b"), "0:a%20b")
	f("/kv/other", header("X-Shard-Key", "acme"), "0:acme")
	f("/kv/other", header("X-Shard-Key", ""), "bad_key")
	f("/", header("X-Shard-Key", "a", "X-Shard-Key", "a"), "bad_key")
	f("/", header("X-Shard-Key", "a", "X_Shard_Key", "b"), "bad_key")
	f("/", header("X_Shard-Key", "b"), "bad_key")
	f("/", header("X-Shard-Key", "a\tb"), "bad_key")
	f("/", header("X-Shard-Key", "a\x7fb"), "bad_key")
	f("/", header("X-Shard-Key", "a", "Connection", "close, x-shard-key"), "bad_key")
	f("/", header("Connection", "x_shard_key", "X-Shard-Key", "a"), "bad_key")
	f("/", header("X-Shard-Key", "a", "Connection", "close"), "0:a")
	f("/", header("X-Shard-Key", long), "0:"+long)
	f("/", header("X-Shard-Key", long+"k"), "bad_key")

	f("/kv/a", nil, "1:a")
	f("/kv/a?b=c", nil, "1:a")
	f("/kv/a%2Fb", nil, "1:a/b")
	f("/kv/%00%ff%25", nil, "1:\x00\xff%")
	f("/kv/a%2525", nil, "1:a%25")
	f("/kv/a+b", nil, "1:a+b")
	f("/kv/\xc3\xa9", nil, "1:é")
	f("/kv/%C3%A9", nil, "1:é")
	f("/kv/..", nil, "1:..")
	f("/kv/%zz", nil, "bad_key")
	f("/kv/a%2", nil, "bad_key")
	f("/kv/%", nil, "bad_key")
	f("/kv/", nil, "no_key")
	f("/kv", nil, "no_key")
	f("/KV/a", nil, "no_key")
	f("/kv/a/b", nil, "no_key")
	f("//kv/a", nil, "no_key")
	f("/%6bv/a", nil, "no_key")
	f("/kv/"+long, nil, "1:"+long)
	f("/kv/"+strings.Repeat("%6b", api.KeyLengthMax), nil, "1:"+long)
	f("/kv/"+strings.Repeat("%6b", api.KeyLengthMax)+"k", nil, "bad_key")
	f("/kv/"+long+"k", nil, "bad_key")

	f("/?tenant=a", nil, "2:a")
	f("/?x=1&tenant=a+b%26&y", nil, "2:a+b&")
	f("/?ten%61nt=a", nil, "2:a")
	f("/?tenant=a&tenant=a", nil, "bad_key")
	f("/?tenant=a&%74enant=b", nil, "bad_key")
	f("/?tenant", nil, "bad_key")
	f("/?tenant=", nil, "bad_key")
	f("/?tenant=%g1", nil, "bad_key")
	f("/?tenants=a&tenan=b&%zz=c", nil, "no_key")
	f("/?tenant=a=b", nil, "2:a=b")
	f("/?a?tenant=x", nil, "no_key")

	f("/files/a/b%2fc//", nil, "3:a/b/c//")
	f("/files/", nil, "no_key")
	f("/t/a/x", nil, "4:a")
	f("/t/a/x/", nil, "no_key")
	f("/t//x", nil, "no_key")
}

func TestExtractReusesItsArray(t *testing.T) {
	parsed := rules(t, devRules...)
	request := &Request{Target: []byte("/kv/a%20b%ff"), Headers: HeaderList(nil)}
	if n := testing.AllocsPerRun(100, func() { _, _, _ = Extract(parsed, request) }); n != 0 {
		t.Fatalf("%v allocations for a percent-coded path key", n)
	}
	request.Target = []byte("/?tenant=%41")
	if n := testing.AllocsPerRun(100, func() { _, _, _ = Extract(parsed, request) }); n != 0 {
		t.Fatalf("%v allocations for a percent-coded query key", n)
	}
}

// FuzzExtract holds against net/url what the package promises: bounds, and one decode.
func FuzzExtract(f *testing.F) {
	f.Add("/kv/a%2Fb?tenant=1", "acme", "close")
	f.Add("/?ten%61nt=%ff&x", "", "x_shard_key")
	f.Add("/files/a//b", "a\x00", "")
	parsed := rules(f, devRules...)
	f.Fuzz(func(t *testing.T, target, header, connection string) {
		request := &Request{Target: []byte(target), Headers: HeaderList{{"Connection", connection}}}
		if header != "" {
			request.Headers = HeaderList{{"X-Shard-Key", header}, {"Connection", connection}}
		}
		key, rule, err := Extract(parsed, request)
		if err != nil {
			if code := api.CodeOf(err); code != api.CodeBadKey && (code != api.CodeNoKey || !errors.Is(err, ErrNoKey)) {
				t.Fatalf("unexpected error %v", err)
			}
			return
		}
		if len(key) == 0 || len(key) > api.KeyLengthMax {
			t.Fatalf("a key of %d octets", len(key))
		}
		path, query, _ := strings.Cut(target, "?")
		switch parsed[rule].Source {
		case api.KeyFromHeader:
			if string(key) != header {
				t.Fatalf("header key %q of %q", key, header)
			}
		case api.KeyFromPath:
			whole, err := url.PathUnescape(path[len(parsed[rule].Prefix):])
			if err == nil && !strings.HasPrefix(whole, string(key)) {
				t.Fatalf("path key %q of %q", key, path)
			}
		case api.KeyFromQuery:
			values, err := url.ParseQuery(strings.ReplaceAll(query, "+", "%2B"))
			if err == nil && (len(values["tenant"]) != 1 || values.Get("tenant") != string(key)) {
				t.Fatalf("query key %q of %q", key, query)
			}
		}
		text := api.EncodeKey(key)
		back, err := api.DecodeKey(text)
		if err != nil || !bytes.Equal(back, key) {
			t.Fatalf("key %q travels as %q and comes back as %q, %v", key, text, back, err)
		}
	})
}

func BenchmarkExtract(b *testing.B) {
	parsed := rules(b, devRules...)
	var head wire.Request
	if err := head.Parse([]byte("GET /some/path?x=1 HTTP/1.1\r\nHost: example.com\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\nX-Shard-Key: tenant-1234\r\n\r\n")); err != nil {
		b.Fatal(err)
	}
	request := &Request{Target: head.Target, Headers: &head}
	b.ReportAllocs()
	for b.Loop() {
		_, _, _ = Extract(parsed, request)
	}
}
