package shardkey

import (
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
)

// bodied is a request with a body of JSON.
func bodied(body string) *Request {
	return &Request{
		Target: []byte("/"), Headers: HeaderList{{"Host", "h"}, {"Content-Type", "application/json"}},
		Length: int64(len(body)), Body: []byte(body),
	}
}

func TestJSONKeys(t *testing.T) {
	f := func(pointer, body, want string) {
		t.Helper()
		if got := outcome(rules(t, "json:"+pointer), bodied(body)); got != want {
			t.Errorf("%s in %s: got %q, want %q", pointer, body, got, want)
		}
	}
	long := strings.Repeat("k", api.KeyLengthMax)
	f("/id", `{"id":"acme"}`, "0:acme")
	f("/id", " \t\r\n{ \"x\" : [ 1 , { } , [ ] ] , \"id\" : \"acme\" } \n", "0:acme")
	f("/id", `{"id":"`+long+`"}`, "0:"+long)
	f("/id", `{"id":"`+strings.Repeat(`\u006b`, api.KeyLengthMax)+`"}`, "0:"+long)
	f("/id", `{"id":"a b ü 鍵 🔑"}`, "0:a b ü 鍵 🔑")
	f("/id", `{"id":"\"\\\/\u00fc\ud83d\udd11"}`, `0:"\/ü🔑`)
	f("/id", `{"\u0069d":"x"}`, "0:x")
	f("/id", `{"id":0}`, "0:0")
	f("/id", `{"id":-17}`, "0:-17")
	f("/id", `{"id":9007199254740991}`, "0:9007199254740991")
	f("/id", `{"id":"9007199254740993"}`, "0:9007199254740993")
	f("/a/b/c", `{"b":{"c":1},"a":{"c":2,"b":{"b":3,"c":"x"}}}`, "0:x")
	f("/a/1/id", `{"a":[{"id":"x"},{"id":"y"},{"id":"z"}]}`, "0:y")
	f("/0", `["x"]`, "0:x")
	f("/10", `[0,1,2,3,4,5,6,7,8,9,"x"]`, "0:x")
	f("/", `{"":"x"}`, "0:x")
	f("/a//b", `{"a":{"":{"b":"x"}}}`, "0:x")
	f("/a~1b", `{"a/b":"x","a":{"b":"y"}}`, "0:x")
	f("/~01", `{"~1":"x","/":"y"}`, "0:x")
	f("/größe", `{"größe":"x"}`, "0:x")

	f("/id", `{}`, "no_key")
	f("/id", `{"ids":"x","i":"y","":"z"}`, "no_key")
	f("/id", `[{"id":"x"}]`, "no_key")
	f("/id", `"id"`, "no_key")
	f("/id", `{"a":{"id":"x"}}`, "no_key")
	f("/id/x", `{"id":"x"}`, "no_key")
	f("/1", `["x"]`, "no_key")
	f("/-", `["x"]`, "no_key")
	f("/01", `["x","y"]`, "no_key")
	f("/00", `["x"]`, "no_key")
	f("/+0", `["x"]`, "no_key")
	f("/99999999999999999999", `["x"]`, "no_key")

	// Whatever leaves a choice.
	f("/id", `{"id":"x","id":"x"}`, "bad_key")
	f("/id", `{"id":"x","i\u0064":"y"}`, "bad_key")
	f("/id", `{"id":"x","ID":"y"}`, "bad_key")
	f("/id", `{"Id":"x"}`, "bad_key")
	f("/kiss", `{"\u212Ai\u017fs":"x"}`, "bad_key")
	f("/a/id", `{"a":{"id":"x"},"a":{}}`, "bad_key")
	f("/a/id", `{"a":{"id":"x"},"A":{}}`, "bad_key")
	f("/a/id", `{"a":{"id":"x"},"b":{"c":1,"c":2},"c":0,"c":0}`, "0:x")
	f("/id", `{"id":null}`, "bad_key")
	f("/id", `{"id":true}`, "bad_key")
	f("/id", `{"id":{}}`, "bad_key")
	f("/id", `{"id":["x"]}`, "bad_key")
	f("/id", `{"id":1.0}`, "bad_key")
	f("/id", `{"id":1e3}`, "bad_key")
	f("/id", `{"id":-0}`, "bad_key")
	f("/id", `{"id":9007199254740992}`, "bad_key")
	f("/id", `{"id":-9007199254740992}`, "bad_key")
	f("/id", `{"id":`+strings.Repeat("9", 5000)+`}`, "bad_key")
	f("/id", `{"id":""}`, "bad_key")
	f("/id", `{"id":"`+long+`k"}`, "bad_key")
	f("/id", `{"id":"`+strings.Repeat(`\u006b`, api.KeyLengthMax+1)+`"}`, "bad_key")
	f("/id", `{"id":"a\u0000"}`, "bad_key")
	f("/id", `{"id":"a\n"}`, "bad_key")
	f("/id", "{\"id\":\"a\x7f\"}", "bad_key")
	f("/id", `{"id":"\ud83d"}`, "bad_key")
	f("/id", `{"id":"\udd11\ud83d"}`, "bad_key")
	f("/id", `{"id":"\ud83dA"}`, "bad_key")
	f("/id", `{"id":"\ud83d\n"}`, "bad_key")
	f("/id", `{"id":"x","\ud800":1}`, "bad_key")
	f("/id", `{"id":"x","a":"\ud800"}`, "0:x")

	// Whatever is no JSON, anywhere.
	for _, body := range []string{
		`{"id":"x"`, `{"id":"x"}}`, `{"id":"x"} {}`, `{"id":"x",}`, `{"id" "x"}`, `{"id":"x" "a":1}`, `{id:"x"}`, `{'id':'x'}`,
		`{"id":"x","a":01}`, `{"id":"x","a":1.}`, `{"id":"x","a":.5}`, `{"id":"x","a":+1}`, `{"id":"x","a":1e}`, `{"id":"x","a":-}`,
		`{"id":"x","a":tru}`, `{"id":"x","a":nul}`, `{"id":"x","a":NaN}`, `{"id":"x","a":[1,]}`, `{"id":"x","a":[1 2]}`, `{"id":"x","a":[}`,
		`{"id":"x","a":"\x"}`, `{"id":"x","a":"\u12"}`, `{"id":"x","a":"\u12g4"}`, `{"id":"x","a":"`, `{"id":"x","a":"\`, `{"id":"x","a":"\u`,
		"{\"id\":\"x\",\"a\":\"\n\"}", "{\"id\":\"x\",\"a\":\"\xff\"}", "\ufeff{\"id\":\"x\"}", "{\"id\":\"x\"}\x00", "{\x00\"id\":\"x\"}",
		`{"id":"x"/**/}`, ` `, `{"id":"x","a"}`, `{"id":"x",1:2}`,
	} {
		f("/id", body, "bad_key")
	}
	nested := func(depth int) string {
		return `{"id":"x","a":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + "}"
	}
	f("/id", nested(depthMax-1), "0:x")
	f("/id", nested(depthMax), "bad_key")
	f("/id", nested(BodyMax/2-20), "bad_key")
}

// TestJSONBodies: which bodies are looked into at all.
func TestJSONBodies(t *testing.T) {
	const body = `{"id":"x"}`
	parsed := rules(t, "json:/id", "query:k")
	f := func(want string, length int64, body string, headers ...[2]string) {
		t.Helper()
		request := &Request{Target: []byte("/?k=q"), Headers: HeaderList(headers), Length: length, Body: []byte(body)}
		if got := outcome(parsed, request); got != want {
			t.Errorf("%v: got %q, want %q", headers, got, want)
		}
	}
	kind := func(value string) [2]string { return [2]string{"Content-Type", value} }
	full := int64(len(body))
	f("0:x", full, body, kind("application/json"))
	f("0:x", full, body, kind("Application/JSON ; charset=utf-8"))
	f("0:x", full, body, kind("application/vnd.api+json"))
	f("0:x", full, body, kind("application/json"), [2]string{"Content-Encoding", "Identity"})
	f("1:q", 0, "", kind("application/json"))
	f("1:q", full, body)
	f("1:q", full, body, kind(""))
	f("1:q", full, body, kind("text/plain"))
	f("1:q", full, body, kind("application/jsonp"))
	f("1:q", full, body, kind("application/x-www-form-urlencoded"))
	f("1:q", full, body, kind("text/plain"), [2]string{"Content-Encoding", "gzip"})
	f("1:q", BodyMax+1, "", kind("text/plain"))
	f("1:q", full, `{"ix":"x"}`, kind("application/json"))
	f("bad_key", full, body, kind("application/json"), [2]string{"Content-Encoding", "gzip"})
	f("bad_key", full, body, [2]string{"content_encoding", "gzip"}, kind("application/json"))
	f("bad_key", full, body, kind("application/json"), kind("application/json"))
	f("bad_key", full, body, kind("text/plain"), [2]string{"content_type", "application/json"})
	f("too_large", BodyMax+1, "", kind("application/json"))

	for _, length := range []int64{-1, full, BodyMax} {
		request := &Request{Headers: HeaderList{kind("application/json")}, Length: length}
		if _, rule, err := Extract(parsed, request); err != ErrNeedsBody || rule != 0 {
			t.Errorf("a body of %d that was not read: rule %d, %v", length, rule, err)
		}
	}
	// An earlier rule that applies leaves the body alone.
	request := &Request{Target: []byte("/?k=q"), Headers: HeaderList{kind("application/json")}, Length: -1}
	if got := outcome(rules(t, "query:k", "json:/id"), request); got != "0:q" {
		t.Errorf("got %q", got)
	}
}

// BenchmarkKeySources finds one key by each kind of rule among the headers of a browser.
func BenchmarkKeySources(b *testing.B) {
	headers := HeaderList{
		{"Host", "tenant-1234.example.com"}, {"User-Agent", "Mozilla/5.0 (X11; Linux x86_64)"}, {"Accept", "*/*"},
		{"Content-Type", "application/json"}, {"Cookie", "_ga=GA1.2.3.4; theme=dark; sid=tenant-1234; lang=en"}, {"X-Shard-Key", "tenant-1234"},
	}
	fields := make(octetHeaders, len(headers))
	for i := range headers {
		fields[i][0], fields[i][1] = headers.At(i)
	}
	body := []byte(`{"items":[{"sku":"A-1","count":3},{"sku":"B-2","count":1}],"user":{"name":"Zoë","id":"tenant-1234"},"total":12.5}`)
	for _, rule := range []string{
		"header:X-Shard-Key", "path:/kv/{key}", "query:tenant", "cookie:sid", "host:{key}.example.com", "json:/user/id",
	} {
		parsed := rules(b, rule)
		request := &Request{Target: []byte("/kv/tenant-1234?x=1&tenant=tenant-1234"), Headers: fields, Length: int64(len(body)), Body: body}
		b.Run(strings.Split(rule, ":")[0], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if key, _, err := Extract(parsed, request); err != nil || string(key) != "tenant-1234" {
					b.Fatal(string(key), err)
				}
			}
		})
	}
}

// octetHeaders are headers as a parser holds them: nothing is made of them when they are asked for.
type octetHeaders [][2][]byte

func (h octetHeaders) Len() int                      { return len(h) }
func (h octetHeaders) At(i int) (name, value []byte) { return h[i][0], h[i][1] }

// TestKeySourcesDoNotAllocate holds the benchmark's figure.
func TestKeySourcesDoNotAllocate(t *testing.T) {
	fields := octetHeaders{
		{[]byte("Host"), []byte("ACME.example.com")}, {[]byte("Cookie"), []byte("a=b; sid=acme")},
		{[]byte("Content-Type"), []byte("application/json")}, {[]byte("X-Key"), []byte("acme")},
	}
	body := `{"a":[1,{"b":"\n"}],"user":{"id":"\u0061cme"}}`
	for i, rule := range []string{"header:X-Key", "path:/{key}", "query:k", "cookie:sid", "host:{key}.example.com", "json:/user/id"} {
		parsed := rules(t, rule)
		request := &Request{Target: []byte("/%61cme"), Headers: fields, Length: int64(len(body)), Body: []byte(body)}
		if rule == "query:k" {
			request.Target = []byte("/?k=%61cme")
		}
		if got := outcome(parsed, request); got != "0:acme" {
			t.Fatalf("%s: got %q", rule, got)
		}
		if n := testing.AllocsPerRun(100, func() { _, _, _ = Extract(parsed, request) }); n != 0 {
			t.Errorf("rule %d, %s: %v allocations", i, rule, n)
		}
	}
}
