package kv

import (
	"testing"

	"github.com/stead-io/stead/api"
)

// A write under an idempotency key is carried out once, and answered the same each time.
func TestIdempotentWrites(t *testing.T) {
	onBothStores(t, func(t *testing.T, server *Server) {
		again := func(what string, first answer, method, path, body string, header ...string) {
			t.Helper()
			got := do(t, server, method, path, body, header...)
			if got.status != first.status || got.header.Get("ETag") != first.header.Get("ETag") || got.header.Get(api.HeaderReplayed) != "true" {
				t.Errorf("%s: %+v, then %+v", what, first, got)
			}
		}
		first := do(t, server, "PUT", "/kv/a", "one", "Idempotency-Key: k1", "If-None-Match: *")
		expect(t, "create", first, 201, "")
		if first.header.Get(api.HeaderReplayed) != "" {
			t.Error("the first is not a repetition")
		}
		expect(t, "another write", do(t, server, "PUT", "/kv/a", "two"), 204, "")
		again("create", first, "PUT", "/kv/a", "one", "Idempotency-Key: k1", "If-None-Match: *")
		if got := do(t, server, "GET", "/kv/a", ""); got.body != "two" {
			t.Errorf("a repetition was carried out: %q", got.body)
		}
		gone := do(t, server, "DELETE", "/kv/a", "", "Idempotency-Key: k2")
		expect(t, "delete", gone, 204, "")
		again("delete", gone, "DELETE", "/kv/a", "", "Idempotency-Key: k2")

		for what, got := range map[string]answer{
			"another body":      do(t, server, "PUT", "/kv/a", "other", "Idempotency-Key: k1", "If-None-Match: *"),
			"another condition": do(t, server, "PUT", "/kv/a", "one", "Idempotency-Key: k1"),
			"another name":      do(t, server, "PUT", "/kv/b", "one", "Idempotency-Key: k1", "If-None-Match: *"),
			"another method":    do(t, server, "DELETE", "/kv/a", "", "Idempotency-Key: k1"),
			"another type":      do(t, server, "PUT", "/kv/a", "one", "Idempotency-Key: k1", "If-None-Match: *", "Content-Type: a/b"),
		} {
			expect(t, what, got, 422, api.CodeKeyReused)
		}
		if got, err := try(server, "PUT", "/kv/a", nil, "Stead-Key: other", "Idempotency-Key: k1"); err != nil || got.status != 201 {
			t.Errorf("of another sharding key: %+v, %v", got, err)
		}
	})
}

// What came to nothing is decided anew when it is repeated.
func TestRefusedWritesAreNotRemembered(t *testing.T) {
	server := openServer(t, "")
	expect(t, "too early", do(t, server, "PUT", "/kv/a", "x", "Idempotency-Key: k", "If-Match: *"), 412, api.CodePrecondition)
	expect(t, "nothing to delete", do(t, server, "DELETE", "/kv/a", "", "Idempotency-Key: d"), 404, api.CodeNotFound)
	expect(t, "created", do(t, server, "PUT", "/kv/a", "y"), 201, "")
	expect(t, "now it may", do(t, server, "PUT", "/kv/a", "x", "Idempotency-Key: k", "If-Match: *"), 204, "")
	expect(t, "deleted", do(t, server, "DELETE", "/kv/a", "", "Idempotency-Key: d"), 204, "")

	for _, key := range []string{"two words", "é", ""} {
		expect(t, key, do(t, server, "PUT", "/kv/a", "x", "Idempotency-Key: "+key), 400, api.CodeInvalid)
	}
	expect(t, "two keys", do(t, server, "PUT", "/kv/a", "x", "Idempotency-Key: a", "Idempotency-Key: b"), 400, api.CodeInvalid)
}
