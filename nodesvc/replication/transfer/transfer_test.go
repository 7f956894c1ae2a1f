package transfer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/stead-io/stead/nodesvc/replication/slotlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errCut = errors.New("the connection was cut")

// octets is a state.
type octets []byte

// WriteTo writes the state in uneven pieces.
func (o octets) WriteTo(w io.Writer) (written int64, err error) {
	random := rand.New(rand.NewPCG(1, uint64(len(o))))
	for rest := []byte(o); len(rest) > 0; {
		n := min(1+random.IntN(300_000), len(rest))
		m, err := w.Write(rest[:n])
		written += int64(m)
		if err != nil {
			return written, err
		}
		rest = rest[n:]
	}
	return written, nil
}

func someState(size int) octets {
	state := make(octets, size)
	random := rand.NewChaCha8([32]byte{byte(size)})
	_, _ = random.Read(state)
	return state
}

func newReceiver(t testing.TB) *Receiver {
	t.Helper()
	store := slotlog.NewMemory()
	spool, err := store.Spool()
	if err := errors.Join(err, store.Close()); err != nil {
		t.Fatal(err)
	}
	receiver := NewReceiver(spool)
	t.Cleanup(func() {
		if err := receiver.Close(); err != nil {
			t.Error(err)
		}
	})
	return receiver
}

func newSender(t testing.TB, state io.WriterTo) *Sender {
	sender := NewSender(state, NewThrottle(0))
	t.Cleanup(sender.Close)
	return sender
}

// into is a connection to a receiver that acknowledges at once.
func into(sender *Sender, receiver *Receiver) func(context.Context, []byte) error {
	return func(_ context.Context, body []byte) error {
		progress, moved, err := receiver.Take(body)
		if moved {
			sender.Acked(progress)
		}
		return err
	}
}

func expectState(t testing.TB, receiver *Receiver, want octets) {
	t.Helper()
	state, size, sum, err := receiver.Whole()
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(state)
	if err := errors.Join(err, state.Close()); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d octets arrived of %d, %v", len(got), len(want), err)
	}
	if size != uint64(len(want)) || sum != crc32.Checksum(want, castagnoli) {
		t.Errorf("size %d, sum %x", size, sum)
	}
}

func TestCopy(t *testing.T) {
	for _, size := range []int{0, 1, FrameMax, ChunkSize - 1, ChunkSize, ChunkSize + 1, 3 * ChunkSize, 10*ChunkSize + 12345} {
		state := someState(size)
		sender, receiver := newSender(t, state), newReceiver(t)
		if err := sender.Send(t.Context(), receiver.Resume(), into(sender, receiver)); err != nil {
			t.Fatalf("%d octets: %v", size, err)
		}
		expectState(t, receiver, state)
	}
}

// However often the connection is lost, with frames or acknowledgements on their way: the state arrives.
func TestResume(t *testing.T) {
	for seed := range uint64(10) {
		random := rand.New(rand.NewPCG(seed, 1))
		state := someState(random.IntN(9 * ChunkSize))
		sender, receiver := newSender(t, state), newReceiver(t)
		for tries := 0; ; tries++ {
			link := into(sender, receiver)
			frames, deaf := random.IntN(60), random.IntN(3) == 0
			err := sender.Send(t.Context(), receiver.Resume(), func(ctx context.Context, body []byte) error {
				if frames--; frames < 0 {
					return errCut
				}
				if deaf {
					if _, moved, err := receiver.Take(body); moved || err != nil {
						return errors.Join(err, errCut) // and the acknowledgement with it
					}
					return nil
				}
				return link(ctx, body)
			})
			if err == nil {
				break
			}
			if !errors.Is(err, errCut) || tries > 1000 {
				t.Fatalf("seed %d, try %d: %v", seed, tries, err)
			}
		}
		expectState(t, receiver, state)
	}
}

// The window bounds what is on its way, and what the sender holds.
func TestWindow(t *testing.T) {
	sender := newSender(t, someState(10*ChunkSize))
	ctx, cancel := context.WithCancel(t.Context())
	received := map[uint64]bool{}
	err := sender.Send(ctx, Progress{}, func(_ context.Context, body []byte) error {
		f, err := readFrame(body)
		received[f.cursor] = true
		if len(received) == windowMax && int(f.offset)+len(f.data) == int(f.size) {
			cancel() // the sender waits for an acknowledgement now
		}
		return err
	})
	if !errors.Is(err, context.Canceled) || len(received) != windowMax || len(sender.window) != windowMax {
		t.Errorf("%d chunks were sent, %d are held, %v", len(received), len(sender.window), err)
	}
}

// A receiver that lost what it had acknowledged cannot be helped by this sender; one that lost nothing can.
func TestStartOver(t *testing.T) {
	state := someState(6 * ChunkSize)
	sender, receiver := newSender(t, state), newReceiver(t)
	link := into(sender, receiver)
	err := sender.Send(t.Context(), receiver.Resume(), func(ctx context.Context, body []byte) error {
		if receiver.progress.Cursor == 3*ChunkSize {
			return errCut
		}
		return link(ctx, body)
	})
	if !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	for _, lost := range []Progress{{}, {Cursor: 2 * ChunkSize}, {Cursor: 3*ChunkSize + 1}} {
		again := newReceiver(t)
		if err := sender.Send(t.Context(), lost, into(sender, again)); !errors.Is(err, ErrStartOver) {
			t.Errorf("from %v: %v", lost, err)
		}
	}
	if err := sender.Send(t.Context(), receiver.Resume(), link); err != nil {
		t.Fatal(err)
	}
	expectState(t, receiver, state)
	if err := sender.Send(t.Context(), receiver.Resume(), link); err != nil {
		t.Errorf("once more, with nothing to do: %v", err)
	}
	if err := sender.Send(t.Context(), Progress{Cursor: 9 * ChunkSize, Done: true}, link); !errors.Is(err, ErrStartOver) {
		t.Errorf("a receiver that is past the end: %v", err)
	}
}

// Whichever octet of a frame changes, the state does not arrive otherwise than it was sent.
func TestCorruption(t *testing.T) {
	state := someState(2*ChunkSize + 100)
	random := rand.New(rand.NewPCG(3, 3))
	for range 30 {
		sender, receiver := newSender(t, state), newReceiver(t)
		link := into(sender, receiver)
		corrupt := random.IntN(35)
		send := func(ctx context.Context, body []byte) error {
			if corrupt--; corrupt == -1 {
				at := random.IntN(len(body))
				if random.IntN(2) == 0 {
					at = random.IntN(frameHeadSize)
				}
				body = bytes.Clone(body)
				body[at] ^= 1 << random.IntN(8)
			}
			return link(ctx, body)
		}
		ctx, cancel := context.WithCancel(t.Context())
		err := sender.Send(ctx, receiver.Resume(), send)
		if err == nil {
			t.Fatal("the damage was not noticed")
		}
		if err := sender.Send(ctx, receiver.Resume(), send); err != nil {
			t.Fatal(err)
		}
		cancel()
		expectState(t, receiver, state)
	}
}

// endless is a state that never ends.
type endless struct{}

func (endless) WriteTo(w io.Writer) (written int64, err error) {
	for err == nil {
		var n int
		n, err = w.Write(make([]byte, 1000))
		written += int64(n)
	}
	return written, err
}

// A sender can be closed at any moment: before it was used, while it waits for acknowledgements, between
// connections.
func TestSenderCloses(t *testing.T) {
	NewSender(endless{}, NewThrottle(0)).Close()
	sender := NewSender(endless{}, NewThrottle(0))
	err := sender.Send(t.Context(), Progress{}, func(context.Context, []byte) error { return errCut })
	if !errors.Is(err, errCut) {
		t.Error(err)
	}
	sender.Close()
	sender.Close()
	if err := sender.Send(t.Context(), Progress{}, func(context.Context, []byte) error { return nil }); !errors.Is(err, errStopped) {
		t.Errorf("a closed sender: %v", err)
	}
}

// failing is a state that cannot be read to its end.
type failing struct{ err error }

func (f failing) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(make([]byte, ChunkSize+1))
	return int64(n), errors.Join(err, f.err)
}

func TestStateThatCannotBeRead(t *testing.T) {
	sick := errors.New("the service is sick")
	sender, receiver := newSender(t, failing{sick}), newReceiver(t)
	if err := sender.Send(t.Context(), receiver.Resume(), into(sender, receiver)); !errors.Is(err, sick) {
		t.Errorf("sent with %v", err)
	}
	if _, _, _, err := receiver.Whole(); err == nil {
		t.Error("half a state is whole")
	}
}

// brokenSpool has no room.
type brokenSpool struct{ err error }

func (s brokenSpool) Write([]byte) (int, error)      { return 0, s.err }
func (s brokenSpool) Reader() (io.ReadCloser, error) { return nil, s.err }
func (s brokenSpool) Close() error                   { return nil }

func TestReceiverWithoutRoom(t *testing.T) {
	full := errors.New("no room")
	sender, receiver := newSender(t, someState(ChunkSize)), NewReceiver(brokenSpool{full})
	for range 2 {
		if err := sender.Send(t.Context(), receiver.Resume(), into(sender, receiver)); !errors.Is(err, full) {
			t.Errorf("sent with %v", err)
		}
	}
}

// alteredSpool gives back something else than it was given.
type alteredSpool struct {
	bytes.Buffer
	alter func([]byte) []byte
}

func (s *alteredSpool) Close() error { return nil }

func (s *alteredSpool) Reader() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(s.alter(bytes.Clone(s.Bytes())))), nil
}

func TestSpoolIsChecked(t *testing.T) {
	for _, alter := range []func([]byte) []byte{
		func(b []byte) []byte { return b[1:] },
		func(b []byte) []byte { return append(b, 0) },
		func(b []byte) []byte { b[7] ^= 1; return b },
		func([]byte) []byte { return nil },
	} {
		receiver := NewReceiver(&alteredSpool{alter: alter})
		sender := newSender(t, someState(1000))
		if err := sender.Send(t.Context(), receiver.Resume(), into(sender, receiver)); err != nil {
			t.Fatal(err)
		}
		state, _, _, err := receiver.Whole()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(state); !errors.Is(err, ErrDamaged) {
			t.Errorf("read with %v", err)
		}
	}
}

func TestFramesOutOfStep(t *testing.T) {
	state := someState(3 * FrameMax)
	var frames [][]byte
	whole := &chunk{sum: crc32.Checksum(state, castagnoli), last: true, data: state}
	if err := whole.frames(func(body []byte) error { frames = append(frames, body); return nil }); err != nil {
		t.Fatal(err)
	}
	run := func(what string, order ...int) {
		t.Helper()
		receiver := newReceiver(t)
		var err error
		for _, i := range order {
			if _, _, err = receiver.Take(frames[i]); err != nil {
				break
			}
		}
		if !errors.Is(err, ErrOutOfStep) {
			t.Errorf("%s: %v", what, err)
		}
	}
	run("begun in the midst", 1)
	run("one is missing", 0, 2)
	run("one comes twice", 0, 0)
	run("one behind the end", 0, 1, 2, 3, 0)
}

// FuzzReceiver has frames from anywhere come to a receiver: it neither panics nor takes what was not sent.
// Each comes as it is, and with its checksum put right.
func FuzzReceiver(f *testing.F) {
	small := &chunk{sum: crc32.Checksum([]byte("state"), castagnoli), last: true, data: []byte("state")}
	_ = small.frames(func(body []byte) error { f.Add(body); return nil })
	f.Add([]byte(strings.Repeat("\x00", frameHeadSize)))
	f.Fuzz(func(t *testing.T, body []byte) {
		take(t, body)
		if len(body) >= frameHeadSize {
			body = bytes.Clone(body)
			binary.BigEndian.PutUint32(body, crc32.Checksum(body[frameCheckSize:], castagnoli))
			take(t, body)
		}
	})
}

// take gives a receiver the same frame three times.
func take(t *testing.T, body []byte) {
	decoded, err := readFrame(body)
	if err == nil && !bytes.Equal(decoded.append(nil), body) {
		t.Fatalf("%x was read as %+v", body, decoded)
	}
	receiver := newReceiver(t)
	var taken []byte
	for range 3 {
		progress, moved, errTake := receiver.Take(body)
		if moved {
			taken = append(taken, decoded.data...)
		}
		if err != nil && errTake == nil || progress.Cursor != uint64(len(taken)) {
			t.Fatalf("%d octets, %+v, %v and %v", len(taken), progress, err, errTake)
		}
		if progress.Done {
			expectState(t, receiver, taken)
		}
	}
}

func BenchmarkCopy(b *testing.B) {
	state := someState(64 * ChunkSize)
	b.SetBytes(int64(len(state)))
	for b.Loop() {
		sender, receiver := newSender(b, state), newReceiver(b)
		if err := sender.Send(b.Context(), receiver.Resume(), into(sender, receiver)); err != nil {
			b.Fatal(err)
		}
		if receiver.progress.Cursor != uint64(len(state)) {
			b.Fatal(fmt.Sprint(receiver.progress))
		}
	}
}
