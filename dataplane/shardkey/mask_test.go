package shardkey

import (
	"testing"

	"github.com/stead-io/stead/api"
)

func TestAppendMasked(t *testing.T) {
	f := func(target, want string, texts ...string) {
		t.Helper()
		rules, problem := api.ParseKeyRules(texts)
		if problem != nil {
			t.Fatal(problem)
		}
		if got := string(AppendMasked(nil, []byte(target), rules)); got != want {
			t.Errorf("%s by %q is shown as %s, want %s", target, texts, got, want)
		}
	}
	f("/kv/acme/x?a=1&&b", "/kv/acme/x?a=1&&b", "header:X-Key")
	f("/kv/acme", "/kv/{key}", "path:/kv/{key}")
	f("/kv/acme?x=acme", "/kv/{key}?x=acme", "path:/kv/{key}")
	f("/kv/acme/more", "/kv/{key}/more", "path:/kv/{key}") // no key, but whose name it is can be seen
	f("/kv/", "/kv/", "path:/kv/{key}")
	f("/other/acme", "/other/acme", "path:/kv/{key}")
	f("/files/a/b?", "/files/{key}?", "path:/files/{key...}")
	f("/files/a/b", "/files/{key}", "path:/files/{key}", "path:/files/a/{key}")
	f("/?tenant=a%20b&x=1&%74enant=c&tenant&tenants=d", "/?tenant={key}&x=1&%74enant={key}&tenant&tenants=d", "query:tenant")
	f("*", "*", "path:/{key...}")
}
