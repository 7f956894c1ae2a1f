package accesslog

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// sample is an entry with every field.
func sample() *Entry {
	return &Entry{
		Time: time.Date(2006, 1, 2, 15, 4, 5, 678e6, time.FixedZone("", 3600)), Duration: 1234567 * time.Nanosecond,
		Client: netip.MustParseAddr("2001:db8::1"), Method: []byte("PUT"), Target: []byte("/kv/{key}?a=\"\xc3\xa9"), Minor: 1, Status: 503,
		Problem: "slot_moving", Cut: true, In: 10, Out: 300, BodyOut: 100, Node: "n1", Keyed: true, Slot: 0, RequestID: []byte("id-1"),
		Retries: 2, Moved: 1, Referer: []byte("https://shop.example/kv/acme?x"), UserAgent: []byte("a \"b\"\\"),
	}
}

func TestForms(t *testing.T) {
	f := func(e *Entry, wantJSON, wantCombined string) {
		t.Helper()
		got := string(e.appendJSON(nil))
		if got != wantJSON+"\n" || !json.Valid([]byte(got)) {
			t.Errorf("got  %swant %s", got, wantJSON)
		}
		if got := string(e.appendCombined(nil, false)); got != wantCombined+"\n" {
			t.Errorf("got  %swant %s", got, wantCombined)
		}
	}
	f(sample(), `{"time":"2006-01-02T14:04:05.678Z","client":"2001:db8::1","method":"PUT","target":"/kv/{key}?a=\"\u00c3\u00a9","status":503,`+
		`"problem":"slot_moving","octets_in":10,"octets_out":300,"duration_seconds":0.001235,"slot":0,"node":"n1","request_id":"id-1","retries":2,"moved":1,"cut":true}`,
		`2001:db8::1 - - [02/Jan/2006:14:04:05 +0000] "PUT /kv/{key}?a=\"\xc3\xa9 HTTP/1.1" 503 100 "https://shop.example" "a \"b\"\\"`)
	f(&Entry{Status: 400, Duration: time.Second},
		`{"time":"0001-01-01T00:00:00.000Z","client":"","status":400,"octets_in":0,"octets_out":0,"duration_seconds":1.000000,"retries":0,"moved":0}`,
		`- - - [01/Jan/0001:00:00:00 +0000] "-" 400 0 "-" "-"`)
	if got := string(sample().appendCombined(nil, true)); !strings.Contains(got, `"https://shop.example/kv/acme?x"`) {
		t.Errorf("with keys: %s", got)
	}
	for referer, want := range map[string]string{"/kv/acme": "", "acme": "", "https://acme@h/": "", "a/b?://h": "", "http://h:80?k": "http://h:80", "http://h": "http://h"} {
		if got := string(site([]byte(referer))); got != want {
			t.Errorf("%s is of the site %q, want %q", referer, got, want)
		}
	}
}

// FuzzForms: whatever a client sends, an entry is one line, and JSON that a parser takes for what was sent.
func FuzzForms(f *testing.F) {
	f.Add([]byte("GET"), []byte("/a\"b\\c\x00\n\xff"), []byte("https://h/\n"))
	f.Fuzz(func(t *testing.T, method, target, agent []byte) {
		e := sample()
		e.Method, e.Target, e.UserAgent, e.Referer = method, target, agent, agent
		line := e.appendJSON(nil)
		var read struct{ Method, Target string }
		if err := json.Unmarshal(line, &read); err != nil || strings.Count(string(line), "\n") != 1 {
			t.Fatalf("%q: %v", line, err)
		}
		octets := func(text string) (all []byte) {
			for _, c := range text {
				all = append(all, byte(c))
			}
			return all
		}
		if string(octets(read.Method)) != string(method) || string(octets(read.Target)) != string(target) {
			t.Fatalf("%q and %q became %s", method, target, line)
		}
		for _, c := range e.appendCombined(nil, true) {
			if c != '\n' && (c < ' ' || c >= 0x7F) {
				t.Fatalf("%q and %q became %q", target, agent, e.appendCombined(nil, true))
			}
		}
	})
}
