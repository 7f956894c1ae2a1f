package shardkey

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
)

// outcome is "<rule>:<key>" or a problem's code.
func outcome(parsed []api.KeyRule, request *Request) string {
	key, rule, err := Extract(parsed, request)
	if err != nil {
		return string(api.CodeOf(err))
	}
	return string(rune('0'+rule)) + ":" + string(key)
}

func TestCookieKeys(t *testing.T) {
	parsed := rules(t, "cookie:sid", "query:k")
	long := strings.Repeat("k", api.KeyLengthMax)
	f := func(want string, lines ...string) {
		t.Helper()
		headers := HeaderList{{"Host", "h"}}
		for _, line := range lines {
			name, value, _ := strings.Cut(line, ": ")
			headers = append(headers, [2]string{name, value})
		}
		if got := outcome(parsed, &Request{Target: []byte("/?k=q"), Headers: headers}); got != want {
			t.Errorf("%q: got %q, want %q", lines, got, want)
		}
	}
	f("1:q")
	f("1:q", "Cookie: ")
	f("1:q", "Cookie: a=b; SID=x; sidx=y; xsid=z; sid.=u")
	f("1:q", "Cookie: a=b;;=;", "Cookie: c=d")
	f("1:q", "X-Cookie: sid=x")
	f("0:x", "Cookie: sid=x")
	f("0:x", "COOKIE: a=b; sid=x; c=d")
	f("0:x", "Cookie: a=b;sid=x;c")
	f("0:x", "Cookie: a=\"sid\"; \tsid=x\t ;c=d")
	f("0:a=b==", "Cookie: sid=a=b==")
	f("0:%20+Zo!#$&'()*/:<>?@[]^`{|}~", "Cookie: sid=%20+Zo!#$&'()*/:<>?@[]^`{|}~")
	f("0:"+long, "Cookie: sid="+long)
	f("0:x", "Cookie: sid=x", "Connection: close, x-other")
	f("bad_key", "Cookie: sid="+long+"k")
	f("bad_key", "Cookie: sid=")
	f("bad_key", "Cookie: sid")
	f("bad_key", "Cookie: sid =x")
	f("bad_key", "Cookie: sid=x; sid=x")
	f("bad_key", "Cookie: sid=x; a=b; sid")
	f("bad_key", "Cookie: sid=x; \tsid =y")
	f("bad_key", "Cookie: sid=x", "Cookie: sid=y")
	f("bad_key", "Cookie: sid=x", "Cookie: a=b")
	f("bad_key", "Cookie: a=b", "cookie: sid=x")
	f("bad_key", "Cookie: sid= x")
	f("bad_key", "Cookie: sid=x y")
	f("bad_key", "Cookie: sid=x,a=b")
	f("bad_key", `Cookie: sid="x"`)
	f("bad_key", `Cookie: sid=a\b`)
	f("bad_key", "Cookie: sid=a\x01b")
	f("bad_key", "Cookie: sid=a\x7fb")
	f("bad_key", "Cookie: sid=zoë")
	f("bad_key", "Cookie: sid=x", "Connection: cookie")
	f("bad_key", "Connection: close, Cookie", "Cookie: sid=x")
}

// FuzzCookieKey: net/http finds that key and no other of its name, and finds none where no rule applies.
func FuzzCookieKey(f *testing.F) {
	f.Add("a=b; sid=x; c", "")
	f.Add("sid=\"x\"; sid=y", "sid")
	f.Add("sid =x;\tsid=\\", "a=b")
	parsed := rules(f, "cookie:sid")
	control := func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7F }
	f.Fuzz(func(t *testing.T, first, second string) {
		if strings.ContainsFunc(first+second, control) {
			return // no header value: refused before keys are looked for
		}
		lines := []string{first}
		headers := HeaderList{{"Cookie", first}}
		if second != "" {
			lines, headers = append(lines, second), append(headers, [2]string{"cookie", second})
		}
		var theirs []string
		for _, cookie := range (&http.Request{Header: http.Header{"Cookie": lines}}).Cookies() {
			if cookie.Name == "sid" {
				theirs = append(theirs, cookie.Value)
			}
		}
		key, _, err := Extract(parsed, &Request{Headers: headers})
		switch {
		case err == nil && (len(theirs) != 1 || theirs[0] != string(key)):
			t.Fatalf("%q: the key is %q, net/http has %q", lines, key, theirs)
		case err == ErrNoKey && len(theirs) != 0:
			t.Fatalf("%q: no key, net/http has %q", lines, theirs)
		case err != nil && err != ErrNoKey && api.CodeOf(err) != api.CodeBadKey:
			t.Fatalf("%q: %v", lines, err)
		}
	})
}
