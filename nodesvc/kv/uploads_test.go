package kv

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stead-io/stead/api"
)

func upload(u *uploads, size int) (length int, done func(), code api.Code) {
	r := httptest.NewRequest("PUT", "/kv/a", strings.NewReader(strings.Repeat("x", size)))
	value, done, problem := u.read(httptest.NewRecorder(), r)
	if problem != nil {
		code = problem.Code
	}
	return len(value), done, code
}

func TestUploadSizes(t *testing.T) {
	u := newUploads()
	f := func(size int, want api.Code) {
		t.Helper()
		length, done, code := upload(u, size)
		if code != want || code == "" && length != size {
			t.Errorf("%d octets: got %d, %q", size, length, code)
		}
		if done(); len(u.turns) != 0 {
			t.Error("a turn was not given back")
		}
	}
	for _, size := range []int{0, 1, largeAfter - 1, largeAfter, largeAfter + 1, largeAfter + uploadStep, ValueSizeMax - 1, ValueSizeMax} {
		f(size, "")
	}
	f(ValueSizeMax+1, api.CodeValueTooLarge)
}

// TestLargeValuesTakeTurns: what is large waits, what is small does not, and nobody waits for ever.
func TestLargeValuesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUploads()
		var turns []func()
		for range largeMax {
			_, done, code := upload(u, largeAfter+1)
			if code != "" {
				t.Fatal(code)
			}
			turns = append(turns, done)
		}
		if _, _, code := upload(u, largeAfter-1); code != "" {
			t.Errorf("a small one got %s", code)
		}
		began := time.Now()
		if _, _, code := upload(u, largeAfter+1); code != api.CodeOverloaded || time.Since(began) != largeWait {
			t.Errorf("after %v: %q", time.Since(began), code)
		}
		time.AfterFunc(time.Second, turns[0])
		if _, done, code := upload(u, largeAfter+1); code != "" {
			t.Errorf("with a turn given back: %s", code)
		} else {
			done()
		}
		gone, leave := context.WithCancel(t.Context())
		leave()
		u.turns <- struct{}{}
		if u.wait(gone) {
			t.Error("a client that is gone got a turn")
		}
	})
}
