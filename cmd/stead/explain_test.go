package main

import (
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// TestExplainReadsWhatProxiesRead: rules on cookies, hosts and bodies, and what becomes of requests
// that none applies to.
func TestExplainReadsWhatProxiesRead(t *testing.T) {
	settings := fakeSettings
	settings.Keys = []string{"cookie:sid", "host:{key}.example.com", "json:/user/id"}
	f := func(noKey api.NoKey, data, rule, key string, code api.Code, headers ...string) {
		t.Helper()
		settings.NoKey = noKey
		view, err := ring.NewView(settings, fakeRing(34).Table)
		if err != nil {
			t.Fatal(err)
		}
		request, err := parseRequest("POST", "/x", headers, len(data))
		if err != nil {
			t.Fatal(err)
		}
		found, err := explainBy(view, request, []byte(data))
		if api.CodeOf(err) != code || found.Rule != rule || found.Key != key || err == nil && found.Why == "" {
			t.Errorf("%q %s: got %+v, %v", headers, data, found, err)
		}
	}
	f(api.NoKeyReject, "", "cookie:sid", "a", "", "Cookie: b=c; sid=a", "Host: acme.example.com")
	f(api.NoKeyReject, "", "host:{key}.example.com", "acme", "", "Host: ACME.example.com:80")
	f(api.NoKeyReject, `{"user":{"id":7}}`, "json:/user/id", "7", "", "Content-Type: application/json")
	f(api.NoKeyReject, `{"user":{"id":7}}`, "", "", api.CodeNoKey)
	f(api.NoKeyReject, `{"user":{"id":7}`, "", "", api.CodeBadKey, "Content-Type: application/json")
	f(api.NoKeyReject, "", "", "", api.CodeNoKey, "Content-Type: application/json", "Transfer-Encoding: chunked")
	f(api.NoKeyReject, "", "", "", api.CodeNoKey)
	f(api.NoKeyAny, "", "", "", "")
	f(api.NoKeySticky, "", "", "", "")
	f(api.NoKeySticky, "", "cookie:stead-key", "a", "", "Cookie: stead-key=a")
	f(api.NoKeySticky, "", "", "", api.CodeBadKey, "Cookie: stead-key=a; stead-key=a")
}
