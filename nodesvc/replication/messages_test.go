package replication

import (
	"bytes"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/nodesvc/replication/peer"
	"github.com/stead-io/stead/nodesvc/replication/slotlog"
	"github.com/stead-io/stead/nodesvc/replication/transfer"
)

var (
	atEpoch  = SlotEpoch{Slot: 0xfffe, Epoch: 1<<40 + 7}
	replicaA = api.Replica{Node: "a", Store: "00112233445566778899aabbccddeeff"}
	replicaB = api.Replica{Node: "b"}
	history  = []ownership.EpochStart{{Epoch: 1, Start: 1}, {Epoch: 7, Start: 1 << 50}}
)

// decoders reads each kind back as a message.
var decoders = map[uint8]func([]byte) (message, error){
	kindStart: as[Start], kindStarted: as[Started], kindAppend: as[Append], kindAck: as[Ack], kindStale: as[Stale],
	kindCommits: as[Commits], kindConfirm: as[Confirm], kindConfirmed: as[Confirmed], kindOffer: as[Offer],
	kindOfferReply: as[OfferReply], kindChunk: as[Chunk], kindChunkAck: as[ChunkAck], kindSeal: as[Seal], kindOpened: as[Opened],
}

func as[M message, P interface {
	*M
	read(*reader)
}](body []byte) (message, error) {
	m, err := decode[M, P](body)
	return m, err
}

func samples() []message {
	return []message{
		Start{SlotEpoch: atEpoch, Primary: replicaA, ISR: []api.Replica{replicaA, replicaB}, History: history, Last: 9, Commit: 8},
		Start{},
		Started{SlotEpoch: atEpoch, Last: 3, Need: true, Digest: 1 << 63},
		Append{SlotEpoch: atEpoch, Commit: 4, Entries: []slotlog.Entry{
			{Seq: 5, Epoch: 6, Kind: 7, Digest: 8, Record: []byte("record")}, {Seq: 6, Epoch: 6},
		}},
		Append{SlotEpoch: atEpoch},
		Ack{SlotEpoch: atEpoch, Seq: 3, Digest: 4, Full: true},
		Stale{atEpoch},
		Commits{Slots: []Commit{{atEpoch, 1}, {SlotEpoch{1, 2}, 3}}},
		Confirm{ID: 9, Slots: []SlotEpoch{atEpoch, {1, 2}}},
		Confirmed{ID: 9, Refused: []uint16{0, 0xffff}},
		Confirmed{ID: 9},
		Offer{SlotEpoch: atEpoch, Copy: 1, Seq: 2, Digest: 3, History: history, Size: 4},
		OfferReply{Slot: 5, Copy: 1, Cursor: 2, Refusal: "disk_full"},
		Chunk{Slot: 5, Copy: 1, Frame: []byte("octets")},
		ChunkAck{Slot: 5, Copy: 1, Cursor: 2, Whole: true, Restored: true, Refusal: "why not"},
		Seal{SlotEpoch: atEpoch, Last: 3, Leaving: true},
		Opened{SlotEpoch: atEpoch, ISR: []api.Replica{{Node: "n1", Store: "s1"}, {Node: "n2"}}},
	}
}

func TestMessagesComeBackAsTheyWere(t *testing.T) {
	seen := map[uint8]bool{}
	for _, want := range samples() {
		seen[want.kind()] = true
		body := want.append([]byte("before"))[len("before"):]
		got, err := decoders[want.kind()](body)
		if err != nil {
			t.Errorf("%#v: %v", want, err)
			continue
		}
		if !bytes.Equal(got.append(nil), body) || got.kind() != want.kind() {
			t.Errorf("%#v came back as %#v", want, got)
		}
		if chunk, is := want.(Chunk); !is && !sameMessage(got, want) {
			t.Errorf("%#v came back as %#v (%v)", want, got, chunk)
		}
	}
	if len(seen) != len(decoders) {
		t.Errorf("%d of %d kinds have samples", len(seen), len(decoders))
	}
}

// sameMessage compares; a record of no octets may come back as nil.
func sameMessage(got, want message) bool {
	if appended, is := got.(Append); is {
		for i := range appended.Entries {
			if len(appended.Entries[i].Record) == 0 {
				appended.Entries[i].Record = nil
			}
		}
	}
	return reflect.DeepEqual(got, want)
}

func TestMessagesCutShortOrWithMoreBehindAreRefused(t *testing.T) {
	for _, m := range samples() {
		body, isChunk := m.append(nil), m.kind() == kindChunk
		for length := range body {
			if isChunk && length >= 2+8 {
				continue // the data is what is left
			}
			if got, err := decoders[m.kind()](body[:length]); !errors.Is(err, errMalformed) {
				t.Errorf("%T cut to %d octets: %#v, %v", m, length, got, err)
			}
		}
		if _, err := decoders[m.kind()](append(body, 0)); !isChunk && !errors.Is(err, errMalformed) {
			t.Errorf("%T with an octet behind it: %v", m, err)
		}
	}
}

func TestLengthsBeyondTheBodyAllocateLittle(t *testing.T) {
	huge := append(Append{}.append(nil)[:appendHead-lengthSize], 0xff, 0xff, 0xff, 0xff)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := decode[Append](huge); err == nil {
		t.Error("was taken")
	}
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 16<<20 { // the error's, and other goroutines'
		t.Errorf("%d bytes were allocated for a body of %d", allocated, len(huge))
	}
	many := Confirm{Slots: make([]SlotEpoch, slotsPerFrameMax+1)}
	if _, err := decode[Confirm](many.append(nil)); err == nil {
		t.Error("more slots than there can be were taken")
	}
}

func TestLongRefusalsAreClipped(t *testing.T) {
	got, err := decode[ChunkAck](ChunkAck{Refusal: strings.Repeat("x", refusalMax+1)}.append(nil))
	if err != nil || len(got.Refusal) != refusalMax {
		t.Errorf("%d octets, %v", len(got.Refusal), err)
	}
}

func TestChunksFitTheBulkLane(t *testing.T) {
	if got := len(Chunk{Frame: make([]byte, transfer.FrameMax)}.append(nil)); got > peer.BulkMax {
		t.Errorf("%d octets", got)
	}
	if got := len(Append{Entries: make([]slotlog.Entry, 1)}.append(nil)); got != appendHead+entryHead {
		t.Errorf("%d octets", got)
	}
}

// What is taken has exactly one form.
func FuzzMessages(f *testing.F) {
	for _, m := range samples() {
		f.Add(m.kind(), m.append(nil))
	}
	f.Fuzz(func(t *testing.T, kind uint8, body []byte) {
		read, known := decoders[kind]
		if !known {
			return
		}
		if m, err := read(body); err == nil && !bytes.Equal(m.append(nil), body) {
			t.Errorf("%x was read as %#v", body, m)
		}
	})
}
