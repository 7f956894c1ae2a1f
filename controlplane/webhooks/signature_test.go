package webhooks

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// verified checks a signature as RFC 2104 writes HMAC down, not by the package that made it.
func verified(key []byte, header string, body []byte) bool {
	t, v1, found := strings.Cut(strings.TrimPrefix(header, "t="), ",v1=")
	if !found {
		return false
	}
	block := make([]byte, sha256.BlockSize)
	if copy(block, key); len(key) > len(block) {
		short := sha256.Sum256(key)
		block = append(short[:], make([]byte, sha256.BlockSize-len(short))...)
	}
	pad := func(with byte) []byte {
		padded := bytes.Clone(block)
		for i := range padded {
			padded[i] ^= with
		}
		return padded
	}
	inner := sha256.Sum256(append(pad(0x36), t+"."+string(body)...))
	outer := sha256.Sum256(append(pad(0x5c), inner[:]...))
	return hex.EncodeToString(outer[:]) == v1
}

func TestSignature(t *testing.T) {
	at := time.Unix(1_700_000_000, 5)
	// Made by: printf '1700000000.{"id":"1-57-12"}' | openssl dgst -sha256 -hmac 0123456789abcdef
	want := "t=1700000000,v1=88071d7a65421714c24dcfa17a1f1cc47e6f85248e7b9eded9ab751e7139b728"
	body := []byte(`{"id":"1-57-12"}`)
	if got := sign(testKey, at, body); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, length := range []int{16, 64, 65, 1024} {
		key := bytes.Repeat([]byte("k"), length)
		header := sign(key, at, body)
		if !verified(key, header, body) || verified(key, header, append(body, ' ')) || verified(key[1:], header, body) {
			t.Errorf("a key of %d bytes signs otherwise than RFC 2104 says", length)
		}
	}
}

func TestKeyFiles(t *testing.T) {
	f := func(file string, want string) {
		t.Helper()
		got, err := ParseKey([]byte(file))
		if string(got) != want || (err == nil) != (want != "") {
			t.Errorf("%q is read as %q, %v", file, got, err)
		}
		if err != nil && len(file) > 4 && strings.Contains(err.Error(), file) {
			t.Errorf("the refusal repeats the key: %v", err)
		}
	}
	f("0123456789abcdef\n", "0123456789abcdef")
	f("0123456789abcdef\r\n", "0123456789abcdef")
	f(" 0123456789abcdef ", " 0123456789abcdef ")
	f("0123456789abcde\n", "")
	f(strings.Repeat(" ", 20), "")
	f(strings.Repeat("k", 1025), "")
	f("", "")
}

// TestPythonExample runs what docs/api/events.md tells receivers to do.
func TestPythonExample(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not here")
	}
	page, err := os.ReadFile("../../docs/api/events.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```python\n")
	example, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("the page has no example")
	}
	body := `{"id":"1-57-12","event":"change"}`
	header := sign(testKey, time.Now(), []byte(body))
	stale := sign(testKey, time.Now().Add(-time.Hour), []byte(body))
	script := fmt.Sprintf("%s\nkey, body = %q.encode(), b'%s'\nprint(verified(key, %q, body), verified(key, %q, body + b' '), verified(b'another', %q, body), verified(key, %q, body))\n",
		example, testKey, body, header, header, header, stale)
	output, err := exec.Command(python, "-c", script).CombinedOutput()
	if err != nil || strings.TrimSpace(string(output)) != "True False False False" {
		t.Errorf("got %s, %v", output, err)
	}
}
