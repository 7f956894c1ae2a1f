package kv

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"testing"
)

// readPlace reads the documented layout back.
func readPlace(raw []byte) Place {
	length := int(binary.BigEndian.Uint16(raw[9:]))
	return Place{Hash: binary.BigEndian.Uint64(raw[1:]), Key: raw[11 : 11+length], Name: raw[11+length:]}
}

// What is on users' disks does not change its form.
func TestLayoutIsFrozen(t *testing.T) {
	run := func(what string, raw []byte, want string) {
		t.Helper()
		if got := hex.EncodeToString(raw); got != want {
			t.Errorf("%s is %s, want %s: existing stores could not be read; raise storeLayout", what, got, want)
		}
	}
	run("a key", appendPlace(nil, Place{Hash: 0x0102030405060708, Key: []byte("acme"), Name: []byte{0, 0xff}}),
		"01"+"0102030405060708"+"0004"+"61636d65"+"00ff")
	run("an entry", append(appendEntryHead(nil, Entry{Version: Version{Writer: 1, Number: 2}, ContentType: "a/b"}), "value"...),
		"01"+"0000000000000001"+"0000000000000002"+"03"+"612f62"+"76616c7565")
	run("the layout's key", layoutKey, "00"+"6c61796f7574")
	run("the probe's key", probeKey, "00"+"70726f6265")
}

func TestBrokenEntries(t *testing.T) {
	whole := append(appendEntryHead(nil, Entry{ContentType: "text/plain"}), "value"...)
	if entry, err := readEntry(whole); err != nil || string(entry.Value) != "value" {
		t.Errorf("%+v, %v", entry, err)
	}
	other := bytes.Clone(whole)
	other[0] = 2
	for _, raw := range [][]byte{nil, whole[:1], whole[:entryHeadSize], whole[:entryHeadSize+3], other} {
		if entry, err := readEntry(raw); err == nil {
			t.Errorf("%x was read as %+v", raw, entry)
		}
	}
}

// Places and entries survive encoding, differ when they differ, and sort by hash.
func FuzzEncoding(f *testing.F) {
	f.Add(uint64(0), []byte("k"), []byte("n"), uint64(1<<63), []byte("kn"), []byte{0}, "text/plain")
	f.Add(uint64(7), []byte("ab"), []byte("c"), uint64(7), []byte("a"), []byte("bc"), "")
	f.Fuzz(func(t *testing.T, hash uint64, key, name []byte, otherHash uint64, otherKey, otherName []byte, contentType string) {
		if len(key) > 1024 || len(otherKey) > 1024 || len(contentType) > ContentTypeLengthMax {
			return
		}
		at, other := Place{hash, key, name}, Place{otherHash, otherKey, otherName}
		raw, otherRaw := appendPlace(nil, at), appendPlace(nil, other)
		if got := readPlace(raw); got.Hash != hash || !bytes.Equal(got.Key, key) || !bytes.Equal(got.Name, name) {
			t.Fatalf("%+v came back as %+v", at, got)
		}
		same := hash == otherHash && bytes.Equal(key, otherKey) && bytes.Equal(name, otherName)
		if bytes.Equal(raw, otherRaw) != same {
			t.Fatalf("%+v and %+v: same key %t, same place %t", at, other, !same, same)
		}
		if hash < otherHash && bytes.Compare(raw, otherRaw) >= 0 {
			t.Fatalf("%+v does not sort before %+v", at, other)
		}
		entry := Entry{Version: Version{Writer: hash, Number: otherHash}, ContentType: contentType}
		got, err := readEntry(append(appendEntryHead(nil, entry), name...))
		if err != nil || got.Version != entry.Version || got.ContentType != contentType || !bytes.Equal(got.Value, name) {
			t.Fatalf("%+v came back as %+v, %v", entry, got, err)
		}
		_, _ = readEntry(name)
	})
}
