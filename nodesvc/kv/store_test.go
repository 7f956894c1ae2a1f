package kv

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/nodesvc"
)

var (
	_ nodesvc.Durable = (*store)(nil)
	_ nodesvc.Viewer  = (*store)(nil)
	_ nodesvc.Checker = (*store)(nil)
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func mustDisk(t testing.TB, path string, fs vfs.FS) *store {
	t.Helper()
	s, err := openDisk(path, fs, quiet())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustMemory(t testing.TB) *store {
	t.Helper()
	s, err := openMemory(quiet())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustClose(t testing.TB, s *store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// onStores runs a test against a store of each kind.
func onStores(t *testing.T, test func(t *testing.T, s *store)) {
	t.Run("memory", func(t *testing.T) {
		s := mustMemory(t)
		defer mustClose(t, s)
		test(t, s)
	})
	t.Run("disk", func(t *testing.T) {
		s := mustDisk(t, "", vfs.NewMem())
		defer mustClose(t, s)
		test(t, s)
	})
}

func placeOf(name string) Place {
	return Place{Slot: 7, Hash: 7 << 48, Key: []byte("acme"), Name: []byte(name)}
}

func putRecord(number uint64, name, value string) record {
	return record{
		outcome: created, at: placeOf(name), time: number,
		entry: Entry{Version: Version{Writer: 1, Number: number}, ContentType: "text/plain", Value: []byte(value)},
	}
}

// mustApply applies records in order behind what the store has.
func mustApply(t testing.TB, s *store, slot api.Slot, records ...record) {
	t.Helper()
	for _, r := range records {
		if _, err := s.Apply(slot, r.append()); err != nil {
			t.Fatal(err)
		}
	}
}

func stateOf(t testing.TB, s *store, slot api.Slot) []byte {
	t.Helper()
	var state bytes.Buffer
	if err := s.Snapshot(slot, &state); err != nil {
		t.Fatal(err)
	}
	return state.Bytes()
}

func digestOf(t testing.TB, s *store, slot api.Slot) [32]byte {
	t.Helper()
	return sha256.Sum256(stateOf(t, s, slot))
}

// randomRecords are writes such as servers propose, but for conditions.
func randomRecords(seed uint64, count int) []record {
	random := rand.New(rand.NewPCG(seed, 1))
	records := make([]record, count)
	for i := range records {
		r := putRecord(uint64(i+1), fmt.Sprint("name", random.IntN(20)), strings.Repeat("v", random.IntN(300)))
		r.time = uint64(random.IntN(1000)) + uint64(i)*uint64(answerAge.Milliseconds())/100
		switch random.IntN(4) {
		case 0:
			r.outcome, r.entry = deleted, Entry{}
		case 1:
			r.outcome = replaced
			r.entry.Value = make([]byte, 20<<10)
		}
		if random.IntN(2) == 0 {
			r.idempotency = fmt.Sprint("key", random.IntN(50))
			r.fingerprint[0] = byte(i)
		}
		records[i] = r
	}
	return records
}

func TestApply(t *testing.T) {
	onStores(t, func(t *testing.T, s *store) {
		if _, err := s.Get(placeOf("a")); !errors.Is(err, ErrAbsent) {
			t.Errorf("of an empty store: %v", err)
		}
		got, err := s.ApplyAt(7, 41, putRecord(1, "a", "one").append())
		if err != nil || got != (written{created, Version{1, 1}}) {
			t.Errorf("%+v, %v", got, err)
		}
		entry, err := s.Get(placeOf("a"))
		if err != nil || entry.Version != (Version{1, 1}) || entry.ContentType != "text/plain" || string(entry.Value) != "one" {
			t.Errorf("%+v, %v", entry, err)
		}
		if seq, err := s.Applied(7); seq != 41 || err != nil {
			t.Errorf("as of %d, %v", seq, err)
		}
		if seq, err := s.Applied(8); seq != 0 || err != nil {
			t.Errorf("another slot as of %d, %v", seq, err)
		}
		if _, err := s.Get(Place{Slot: 8, Hash: 7 << 48, Key: []byte("acme"), Name: []byte("a")}); !errors.Is(err, ErrAbsent) {
			t.Errorf("of another slot: %v", err)
		}
		mustApply(t, s, 7, record{outcome: deleted, at: placeOf("a")})
		if _, err := s.Get(placeOf("a")); !errors.Is(err, ErrAbsent) {
			t.Errorf("deleted: %v", err)
		}
		if err := errors.Join(s.Drop(7), s.Drop(9), s.Sync()); err != nil {
			t.Error(err)
		}
		if seq, err := s.Applied(7); seq != 0 || err != nil {
			t.Errorf("dropped, as of %d, %v", seq, err)
		}
	})
}

// Answers are remembered under their keys, for a day of log time and so many a slot; clocks that run back do
// not count.
func TestAnswersAreForgotten(t *testing.T) {
	day := uint64(answerAge.Milliseconds())
	write := func(time uint64, idempotency string) record {
		r := putRecord(time, "a", "")
		r.idempotency = idempotency
		return r
	}
	onStores(t, func(t *testing.T, s *store) {
		knows := func(idempotency string, want bool) {
			t.Helper()
			if _, found, err := s.answerTo(placeOf("a"), idempotency); found != want || err != nil {
				t.Errorf("%s is known: %t, %v", idempotency, found, err)
			}
		}
		mustApply(t, s, 7, write(1000, "a"), write(10, "b"), write(1000+day-1, "c"))
		knows("a", true)
		kept, _, _ := s.answerTo(placeOf("a"), "a")
		if kept.written != (written{created, Version{1, 1000}}) {
			t.Errorf("it is %+v", kept)
		}
		mustApply(t, s, 7, write(1000+day, "d"))
		knows("a", false)
		knows("b", false) // written at 10 by the proposer's clock, at 1000 by the log's
		knows("c", true)
		for i := range answersMax {
			mustApply(t, s, 7, write(1000+day, fmt.Sprint(i)))
		}
		knows("d", false)
		knows("0", true)
		mustApply(t, s, 7, write(1000+day, "another"))
		knows("0", false)
		knows("1", true)
	})
}

// Stores of both kinds come to the same state by the same records, and a snapshot carries all of it.
func TestReplicasAgree(t *testing.T) {
	for seed := range uint64(5) {
		memory, disk, third := mustMemory(t), mustDisk(t, "", vfs.NewMem()), mustMemory(t)
		records := randomRecords(seed, 300)
		mustApply(t, memory, 7, records...)
		mustApply(t, disk, 7, records[:150]...)
		mustApply(t, disk, 6, records...)
		mustApply(t, third, 7, records[:20]...)
		if err := third.RestoreAt(7, 150, bytes.NewReader(stateOf(t, disk, 7))); err != nil {
			t.Fatal(err)
		}
		mustApply(t, disk, 7, records[150:]...)
		mustApply(t, third, 7, records[150:]...)
		want := digestOf(t, memory, 7)
		if digestOf(t, disk, 7) != want || digestOf(t, third, 7) != want {
			t.Errorf("seed %d: the states differ", seed)
		}
		if seq, _ := third.Applied(7); seq != 300 {
			t.Errorf("seed %d: as of %d", seed, seq)
		}
		for _, s := range []*store{memory, disk, third} {
			mustClose(t, s)
		}
	}
}

// A view shows its moment, whatever is applied since.
func TestViewStandsStill(t *testing.T) {
	onStores(t, func(t *testing.T, s *store) {
		records := randomRecords(1, 200)
		mustApply(t, s, 7, records[:100]...)
		want := stateOf(t, s, 7)
		then, err := s.View(7)
		if err != nil {
			t.Fatal(err)
		}
		mustApply(t, s, 7, records[100:]...)
		if err := s.Drop(7); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			var got bytes.Buffer
			written, err := then.WriteTo(&got)
			if err != nil || !bytes.Equal(got.Bytes(), want) || written != int64(len(want)) {
				t.Errorf("%d octets, not %d, %v", got.Len(), len(want), err)
			}
		}
		if err := then.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A state that is cut short or altered in its form leaves an empty slot and a store that goes on.
func TestBrokenSnapshots(t *testing.T) {
	onStores(t, func(t *testing.T, s *store) {
		mustApply(t, s, 7, randomRecords(1, 40)...)
		whole := stateOf(t, s, 7)
		refuse := func(what string, state []byte) {
			t.Helper()
			mustApply(t, s, 8, putRecord(1, "a", ""))
			before := stateOf(t, s, 8)
			if err := s.Check(8, bytes.NewReader(state)); !errors.Is(err, errSnapshot) || !bytes.Equal(stateOf(t, s, 8), before) {
				t.Errorf("%s passes, or changes something: %v", what, err)
			}
			if err := s.RestoreAt(8, 5, bytes.NewReader(state)); !errors.Is(err, errSnapshot) || errors.Is(err, nodesvc.ErrBroken) {
				t.Errorf("%s: %v", what, err)
			}
			if seq, err := s.Applied(8); seq != 0 || err != nil || !bytes.Equal(stateOf(t, s, 8), stateOf(t, s, 9)) {
				t.Errorf("%s: something is left, as of %d, %v", what, seq, err)
			}
		}
		for length := 0; length < len(whole); length += 1 + len(whole)/50 {
			refuse(fmt.Sprint("cut at ", length), whole[:length])
		}
		refuse("cut at the end", whole[:len(whole)-1])
		other := bytes.Clone(whole)
		other[len(snapshotMagic)]++
		refuse("another form", other)
		if err := s.Check(8, bytes.NewReader(whole)); err != nil {
			t.Errorf("the whole does not pass: %v", err)
		}
		if err := s.RestoreAt(8, 5, bytes.NewReader(whole)); err != nil || !bytes.Equal(stateOf(t, s, 8), whole) {
			t.Errorf("the whole: %v", err)
		}
	})
}

// Slots do not touch each other, the outermost neither.
func TestSlotsAreApart(t *testing.T) {
	onStores(t, func(t *testing.T, s *store) {
		slots := []api.Slot{0, 1, 0xff, 0x100, 0xfffe, 0xffff}
		for i, slot := range slots {
			mustApply(t, s, slot, randomRecords(uint64(i), 20)...)
		}
		before := map[api.Slot][]byte{}
		for _, slot := range slots {
			before[slot] = stateOf(t, s, slot)
		}
		for i, slot := range slots {
			if err := s.Drop(slot); err != nil {
				t.Fatal(err)
			}
			for j, other := range slots {
				if gone := seqOf(t, s, other) == 0; gone != (j <= i) || !gone && !bytes.Equal(stateOf(t, s, other), before[other]) {
					t.Errorf("dropping %d touched %d", slot, other)
				}
			}
		}
	})
}

func seqOf(t *testing.T, s *store, slot api.Slot) ownership.Seq {
	t.Helper()
	seq, err := s.Applied(slot)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// A record that cannot be read ends the store: to leave it out would part the replicas.
func TestUnknownRecordEndsTheStore(t *testing.T) {
	s := mustMemory(t)
	raw := putRecord(1, "a", "").append()
	raw[0]++
	if _, err := s.ApplyAt(7, 1, raw); !errors.Is(err, nodesvc.ErrBroken) || !errors.Is(err, errRecord) {
		t.Errorf("%v", err)
	}
	<-s.Failed()
	if err := s.Snapshot(7, io.Discard); err == nil {
		t.Error("the store goes on")
	}
	_ = s.db.Close()
}
