package api

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestKeyCoding(t *testing.T) {
	f := func(key, want string) {
		t.Helper()
		if got := EncodeKey([]byte(key)); got != want {
			t.Errorf("EncodeKey(%q) = %q, want %q", key, got, want)
		}
		back, err := DecodeKey(want)
		if err != nil || string(back) != key {
			t.Errorf("DecodeKey(%q) = %q, %v", want, back, err)
		}
	}
	f("acme-1._~Z", "acme-1._~Z")
	f("a b", "a%20b")
	f("\x00\xff%", "%00%FF%25")
	f("é", "%C3%A9")
	f(strings.Repeat("\n", KeyLengthMax), strings.Repeat("%0A", KeyLengthMax))
}

func TestDecodeKeyRefuses(t *testing.T) {
	for _, text := range []string{
		"", "%", "%2", "%zz", "a b", "a\x00", "é", "%c3%a9", "%41", "a+b", "a/b",
		strings.Repeat("k", KeyLengthMax+1), strings.Repeat("%00", KeyLengthMax+1),
	} {
		if key, err := DecodeKey(text); !errors.Is(err, ErrKeyCoding) {
			t.Errorf("DecodeKey(%q) = %q, %v", Clip(text), key, err)
		}
	}
}

func FuzzDecodeKey(f *testing.F) {
	f.Add("a%20b")
	f.Add("%FF%00")
	f.Add("%4")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := DecodeKey(text)
		if err != nil {
			return
		}
		if len(key) == 0 || len(key) > KeyLengthMax {
			t.Fatalf("a key of %d octets", len(key))
		}
		if again := EncodeKey(key); again != text {
			t.Fatalf("%q decodes to %q, which is written %q", text, key, again)
		}
		if !bytes.Equal(AppendKey([]byte("x"), key)[1:], []byte(text)) {
			t.Fatal("AppendKey differs from EncodeKey")
		}
	})
}
