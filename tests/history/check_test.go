package history

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// at makes an operation that lasts from call to back; 0: it has no answer.
func at(call, back time.Duration, o Operation, answer Answer) Operation {
	o.Key, o.Call = "k", call
	if back != 0 {
		answer.Return = back
		o.Answer = &answer
	}
	return o
}

func put(call, back time.Duration, value string) Operation {
	return at(call, back, Operation{Kind: Put, Value: value}, Answer{})
}

func get(call, back time.Duration, value string) Operation {
	return at(call, back, Operation{Kind: Get}, Answer{Value: value})
}

func swap(call, back time.Duration, expect, value string, held bool) Operation {
	return at(call, back, Operation{Kind: Swap, Expect: expect, Value: value}, Answer{Held: held})
}

func remove(call, back time.Duration, held bool) Operation {
	return at(call, back, Operation{Kind: Delete}, Answer{Held: held})
}

func tagged(o Operation, tag string) Operation {
	o.Answer.Tag = tag
	return o
}

// TestCheck: what a single copy could have answered passes; what none could does not.
func TestCheck(t *testing.T) {
	f := func(name string, want error, operations ...Operation) {
		t.Helper()
		if got := Check(operations); !errors.Is(got, want) || (got == nil) != (want == nil) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	f("nothing", nil)
	f("one after another", nil, get(1, 2, ""), put(3, 4, "a"), get(5, 6, "a"), swap(7, 8, "a", "b", true),
		swap(9, 10, "a", "c", false), remove(11, 12, true), remove(13, 14, false), get(15, 16, ""))
	f("of two at a time either is last", nil, put(1, 5, "a"), put(2, 6, "b"), get(7, 8, "a"), get(9, 10, "a"))
	f("an open write shows up late", nil, put(1, 2, "a"), put(3, 0, "b"), get(4, 5, "a"), get(6, 7, "b"))
	f("an open write never shows up", nil, put(1, 2, "a"), put(3, 0, "b"), get(4, 5, "a"), get(9, 10, "a"))
	f("an open swap that did not hold", nil, put(1, 2, "a"), swap(3, 0, "x", "b", false), get(4, 5, "a"))
	f("an open delete", nil, put(1, 2, "a"), remove(3, 0, false), get(4, 5, "a"), get(6, 7, ""), swap(8, 9, "", "b", true))

	f("stale read", ErrLost, put(1, 2, "a"), put(3, 4, "b"), get(5, 6, "a"))
	f("stale read behind a concurrent write", ErrNotLinearizable, put(1, 2, "a"), put(3, 10, "b"), get(4, 5, "b"), get(6, 7, "a"))
	f("lost write", ErrLost, put(1, 2, "a"), get(3, 4, ""))
	f("lost write, another value in its place", ErrLost, put(1, 2, "a"), put(3, 4, "b"), swap(5, 6, "b", "c", true), get(7, 8, "b"))
	f("lost write that only a swap notices", ErrNotLinearizable, put(1, 2, "a"), put(3, 4, "b"), swap(5, 6, "b", "c", false))
	f("an open write that came and went", ErrNotLinearizable, put(1, 2, "a"), put(3, 0, "b"), get(4, 5, "b"), get(6, 7, "a"))
	f("two swaps from one value", ErrNotLinearizable, put(1, 2, "a"), swap(3, 6, "a", "b", true), swap(4, 7, "a", "c", true))
	f("two who begin the key", ErrNotLinearizable, swap(1, 4, "", "a", true), swap(2, 5, "", "b", true))
	f("two deletes of one value", ErrNotLinearizable, put(1, 2, "a"), remove(3, 6, true), remove(4, 7, true))
	f("delete undone", ErrNotLinearizable, put(1, 2, "a"), remove(3, 4, true), get(5, 6, "a"))
	f("phantom", ErrPhantom, put(1, 2, "a"), get(3, 4, "z"))
	f("applied twice", ErrTags, tagged(put(1, 2, "a"), "1"), tagged(get(3, 4, "a"), "2"))
	f("one tag for two values", ErrTags, tagged(put(1, 2, "a"), "1"), tagged(put(3, 4, "b"), "1"))
}

// TestCheckIsQuick: the fullest history a key may have is decided at once.
func TestCheckIsQuick(t *testing.T) {
	var operations []Operation
	for i := range OpenMax {
		operations = append(operations, put(time.Duration(i+1), 0, strings.Repeat("o", i+1)))
	}
	value := ""
	for i := len(operations); i < OperationsMax; i++ {
		call := time.Duration(10 * i)
		if i%2 == 0 {
			value = strings.Repeat("v", i)
			operations = append(operations, put(call, call+15, value))
		} else {
			operations = append(operations, get(call, call+15, value))
		}
	}
	begin := time.Now()
	if err := Check(operations); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestSave(t *testing.T) {
	folder := t.TempDir()
	page, err := Save(folder, []Operation{put(1, 2, "a"), put(3, 4, "b"), get(5, 6, "a")})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(page); err != nil || !strings.Contains(string(text), "<html") {
		t.Errorf("no page: %v", err)
	}
	if text, err := os.ReadFile(strings.TrimSuffix(page, "html") + "json"); err != nil || !strings.Contains(string(text), `"value": "b"`) {
		t.Errorf("no history: %v", err)
	}
}
