package kv

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
)

func TestUploadsAreBoundedTogether(t *testing.T) {
	var u uploads
	f := func(held int64, size int, want api.Code) {
		t.Helper()
		u.held.Store(held)
		value, problem := u.read(httptest.NewRequest("PUT", "/kv/a", strings.NewReader(strings.Repeat("x", size))))
		if (problem == nil) != (want == "") || problem != nil && problem.Code != want {
			t.Errorf("%d held, %d read: got %v", held, size, problem)
		}
		if want == "" && len(value) != size {
			t.Errorf("got %d octets of %d", len(value), size)
		}
		if u.release(value); u.held.Load() != held {
			t.Errorf("%d octets are held for ever", u.held.Load()-held)
		}
	}
	f(0, 0, "")
	f(0, 1, "")
	f(0, uploadStep, "")
	f(0, uploadStep+1, "")
	f(0, ValueSizeMax, "")
	f(0, ValueSizeMax+1, api.CodeValueTooLarge)
	f(uploadsMax-uploadStep, uploadStep, api.CodeOverloaded)
	f(uploadsMax-uploadStep+1, 1, api.CodeOverloaded)
	f(uploadsMax-2*uploadStep, uploadStep, "")
}
