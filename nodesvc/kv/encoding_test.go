package kv

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"
)

// What is on users' disks and in their logs does not change its form.
func TestLayoutIsFrozen(t *testing.T) {
	run := func(what string, raw []byte, want string) {
		t.Helper()
		if got := hex.EncodeToString(raw); got != want {
			t.Errorf("%s is %s, want %s: existing stores or logs could not be read", what, got, want)
		}
	}
	at := Place{Slot: 0x0a0b, Hash: 0x0102030405060708, Key: []byte("acme"), Name: []byte{0, 0xff}}
	print := fingerprint{0: 0xaa, 15: 0xbb}
	run("an entry's key", entryKey(at), "02"+"0a0b"+"01"+"0102030405060708"+"0004"+"61636d65"+"00ff")
	run("an answer's key", answerKey(at, "i"), "02"+"0a0b"+"02"+"0102030405060708"+"0004"+"61636d65"+"69")
	run("a place in line", lineKey(at.Slot, 3), "02"+"0a0b"+"03"+"0000000000000003")
	run("a head's key", headKey(at.Slot), "02"+"0a0b"+"00")
	run("a head", head{applied: 1, clock: 2, first: 3, next: 4}.append(nil),
		"01"+"00"+"0000000000000001"+"0000000000000002"+"0000000000000003"+"0000000000000004")
	run("an entry", append(appendEntryHead(nil, Entry{Version: Version{Writer: 1, Number: 2}, ContentType: "a/b"}), "value"...),
		"01"+"0000000000000001"+"0000000000000002"+"03"+"612f62"+"76616c7565")
	run("an answer", remembered{number: 3, fingerprint: print, written: written{deleted, Version{1, 2}}}.append(nil),
		"01"+"0000000000000003"+"aa0000000000000000000000000000bb"+"03"+"0000000000000001"+"0000000000000002")
	run("a record", record{outcome: replaced, at: at, time: 5, idempotency: "i", fingerprint: print,
		entry: Entry{Version: Version{Writer: 1, Number: 2}, ContentType: "a/b", Value: []byte("value")}}.append(),
		"01"+"02"+"0102030405060708"+"0000000000000005"+"0000000000000001"+"0000000000000002"+"0004"+"61636d65"+"0002"+"00ff"+
			"01"+"69"+"aa0000000000000000000000000000bb"+"03"+"612f62"+"76616c7565")
	run("the layout's key", layoutKey, "00"+"6c61796f7574")
	run("the probe's key", probeKey, "00"+"70726f6265")
}

// What a decoder takes, it has taken whole: written again it is the same octets.
func FuzzRecord(f *testing.F) {
	for _, r := range randomRecords(1, 20) {
		f.Add(r.append())
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := readRecord(raw)
		if err == nil && !bytes.Equal(r.append(), raw) {
			t.Fatalf("%x was read as %+v", raw, r)
		}
	})
}

// Stored values likewise.
func FuzzStored(f *testing.F) {
	f.Add(head{applied: 1, clock: 2, first: 3, next: 4}.append(nil))
	f.Add(remembered{number: 3, written: written{deleted, Version{1, 2}}}.append(nil))
	f.Add(append(appendEntryHead(nil, Entry{ContentType: "text/plain"}), "value"...))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if h, err := readHead(raw); err == nil && !bytes.Equal(h.append(nil), raw) {
			t.Fatalf("%x was read as %+v", raw, h)
		}
		if a, err := readAnswer(raw); err == nil && !bytes.Equal(a.append(nil), raw) {
			t.Fatalf("%x was read as %+v", raw, a)
		}
		if entry, err := readEntry(raw); err == nil && !bytes.Equal(append(appendEntryHead(nil, entry), entry.Value...), raw) {
			t.Fatalf("%x was read as %+v", raw, entry)
		}
	})
}

// A record comes back as it was.
func TestRecord(t *testing.T) {
	for _, want := range randomRecords(9, 100) {
		want.at.Slot = 0
		raw := want.append()
		got, err := readRecord(raw)
		if len(got.entry.Value) == 0 {
			got.entry.Value, want.entry.Value = nil, nil
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v came back as %+v, %v", want, got, err)
		}
		if want.outcome == deleted {
			continue
		}
		for length := range 30 {
			if _, err := readRecord(raw[:length]); err == nil {
				t.Fatalf("%d octets of %x were taken", length, raw)
			}
		}
	}
}

// Restoring takes any octets: it says what it does not like, and never ends the store.
func FuzzRestore(f *testing.F) {
	s := mustMemory(f)
	f.Cleanup(func() { mustClose(f, s) })
	mustApply(f, s, 1, randomRecords(1, 10)...)
	f.Add(stateOf(f, s, 1))
	f.Add([]byte(snapshotMagic + "\x02"))
	f.Fuzz(func(t *testing.T, state []byte) {
		err := s.RestoreAt(2, 5, bytes.NewReader(state))
		if s.Err() != nil {
			t.Fatal(s.Err())
		}
		if err == nil && !bytes.Equal(stateOf(t, s, 2), state) {
			t.Fatalf("%d octets came back as %x", len(state), stateOf(t, s, 2))
		}
	})
}
