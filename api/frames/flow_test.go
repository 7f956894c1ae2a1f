package frames

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func begun(stream uint64) *Flow {
	f := new(Flow)
	f.Begin(stream, WindowLeast, WindowLeast)
	return f
}

func head(stream uint64, body string, flags uint8) *Frame {
	return &Frame{Type: TypeHead, Flags: flags, Stream: stream, Head: []byte("head"), Body: []byte(body)}
}

func data(stream uint64, body []byte, flags uint8) *Frame {
	return &Frame{Type: TypeData, Flags: flags, Stream: stream, Body: body}
}

func trailers(stream uint64, lines string) *Frame {
	return &Frame{Type: TypeTrailers, Flags: End, Stream: stream, Trailers: []byte(lines)}
}

// TestOrder: a head, then its body, then nothing.
func TestOrder(t *testing.T) {
	f := func(want error, frames ...*Frame) {
		t.Helper()
		flow, err := begun(5), error(nil)
		for _, frame := range frames {
			if err != nil {
				t.Errorf("early: %v", err)
			}
			err = flow.Deliver(frame)
		}
		if err != want {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	f(nil, head(5, "", 0), data(5, []byte("x"), 0), data(5, nil, End))
	f(nil, head(5, "all", End))
	f(errOrder, data(5, []byte("x"), 0))
	f(errOrder, head(5, "", 0), head(5, "", 0))
	f(errOrder, head(5, "", End), data(5, nil, 0))
	f(errWindow, head(5, "xy", 0), data(5, make([]byte, PieceMax), 0), data(5, make([]byte, PieceMax), 0))
	f(nil, head(5, "", 0), data(5, []byte("x"), 0), trailers(5, "A: b\r\n"))
	f(errOrder, trailers(5, "A: b\r\n"))
	f(errOrder, head(5, "", End), trailers(5, "A: b\r\n"))
	f(errOrder, head(5, "", 0), trailers(5, "A: b\r\n"), data(5, nil, End))
	f(nil, head(4, "another's", End), head(6, "another's", End), data(6, nil, 0))
}

// TestTake: what has come is taken in its order, and the window is widened for it.
func TestTake(t *testing.T) {
	flow := begun(1)
	if err := flow.Deliver(head(1, "ab", 0)); err != nil {
		t.Fatal(err)
	}
	got, err := flow.AwaitHead()
	if string(got) != "head" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	f := func(wantLength, wantGrant int, want error) {
		t.Helper()
		piece, grant, err := flow.Take(time.Second)
		if len(piece) != wantLength || grant != wantGrant || err != want {
			t.Errorf("%d octets, grant %d, %v", len(piece), grant, err)
		}
	}
	f(2, 0, nil)
	if err := flow.Deliver(data(1, make([]byte, PieceMax), 0)); err != nil {
		t.Fatal(err)
	}
	f(PieceMax, 0, nil)
	f(0, PieceMax+2, nil)
	for range 2 {
		if err := flow.Deliver(data(1, make([]byte, PieceMax), 0)); err != nil {
			t.Fatal(err)
		}
	}
	if err := flow.Deliver(data(1, make([]byte, 1), 0)); err != errWindow {
		t.Errorf("past the window: %v", err)
	}
	f(2*PieceMax, 0, nil)
	flow.Fail(1, io.EOF) // of the connection
	if _, _, err := flow.Take(0); err != io.ErrUnexpectedEOF {
		t.Errorf("the end is %v", err)
	}

	whole := begun(2)
	_ = whole.Deliver(head(2, "all", End))
	whole.Fail(2, errors.New("over")) // all has come: it may be taken
	if piece, _, err := whole.Take(0); string(piece) != "all" || err != nil {
		t.Errorf("%q, %v", piece, err)
	}
	if _, _, err := whole.Take(0); err != io.EOF {
		t.Error(err)
	}
}

// TestTrailers: they are there behind the body, and with the stream they are gone.
func TestTrailers(t *testing.T) {
	flow := begun(1)
	_ = flow.Deliver(head(1, "all", 0))
	_ = flow.Deliver(trailers(1, "A: b\r\n"))
	for range 2 {
		_, _, _ = flow.Take(time.Second)
	}
	if got := flow.Trailers(); string(got) != "A: b\r\n" {
		t.Errorf("got %q", got)
	}
	flow.Begin(2, WindowLeast, WindowLeast)
	if got := flow.Trailers(); len(got) > 0 {
		t.Errorf("the next stream has %q", got)
	}
}

// TestHints: interim heads come in their order before the head, as far as there is room for them, and not behind it.
func TestHints(t *testing.T) {
	flow := begun(1)
	hint := func(head string) error {
		return flow.Hint(&Frame{Type: TypeHead, Stream: 1, Head: []byte(head)})
	}
	long := strings.Repeat("x", hintsMax-1)
	another := flow.Hint(&Frame{Type: TypeHead, Stream: 2, Head: []byte("another's")})
	if err := errors.Join(another, hint("1"), hint(long), hint("no room")); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"1", long} {
		if got, err := flow.AwaitHead(); string(got) != want || err != nil {
			t.Errorf("got %.20q, %v, want %.20q", got, err, want)
		}
	}
	if err := errors.Join(hint("2"), flow.Deliver(head(1, "", End))); err != nil {
		t.Error(err)
	}
	if err := hint("late"); err != errOrder {
		t.Errorf("behind the head: %v", err)
	}
	flow.Begin(1, WindowLeast, WindowLeast)
	flow.SetTakeDeadline(time.Unix(1, 0))
	if err := hint("too late"); err != nil {
		t.Error(err)
	}
	if got, err := flow.AwaitHead(); err != os.ErrDeadlineExceeded {
		t.Errorf("past the deadline: %q, %v", got, err)
	}
	flow.Begin(1, WindowLeast, WindowLeast)
	if err := errors.Join(hint("2"), flow.Deliver(head(1, "", End))); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"2", "head", "head"} {
		if got, err := flow.AwaitHead(); string(got) != want || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
}

// TestReserve: no more is sent than the other side lets.
func TestReserve(t *testing.T) {
	flow := begun(1)
	f := func(most, want int, wantErr error) {
		t.Helper()
		if n, err := flow.Reserve(most); n != want || err != wantErr {
			t.Errorf("%d, %v, want %d, %v", n, err, want, wantErr)
		}
	}
	f(WindowLeast-1, WindowLeast-1, nil)
	f(10, 1, nil)
	flow.SetSendDeadline(time.Now().Add(10 * time.Millisecond))
	f(10, 0, os.ErrDeadlineExceeded)
	flow.SetSendDeadline(time.Time{})
	if err := flow.Grant(2, 100); err != nil {
		t.Error(err)
	}
	go func() { _ = flow.Grant(1, 7) }()
	f(10, 7, nil)
	over := errors.New("over")
	go flow.Halt(1, over)
	f(10, 0, over)
	if err := errors.Join(flow.Grant(1, windowMost), flow.Grant(1, 1)); !errors.Is(err, errGrown) {
		t.Errorf("got %v", err)
	}
}

// TestNextStream: what is meant for a former stream changes nothing.
func TestNextStream(t *testing.T) {
	flow := begun(1)
	_ = flow.Deliver(head(1, "old", 0))
	flow.Forget()
	_ = flow.Deliver(data(1, []byte("late"), 0))
	flow.Begin(2, WindowLeast, WindowLeast)
	flow.Fail(1, errors.New("late"))
	flow.Halt(1, errors.New("late"))
	flow.Allow(1)
	if err := flow.Deliver(data(1, []byte("late"), End)); err != nil {
		t.Error(err)
	}
	_ = flow.Deliver(head(2, "new", End))
	if piece, _, err := flow.Take(0); string(piece) != "new" || err != nil {
		t.Errorf("%q, %v", piece, err)
	}
	if n, err := flow.Reserve(1); n != 1 || err != nil || flow.allowed {
		t.Errorf("%d, %v, allowed %v", n, err, flow.allowed)
	}
}

// TestDeadlines: who waits is woken when the time is over, and not by what was set for a former stream.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flow := begun(1)
		flow.Extend(time.Now().Add(time.Second))
		flow.Forget()
		flow.Begin(2, WindowLeast, WindowLeast)
		began := time.Now()
		flow.Extend(began.Add(3 * time.Second))
		if _, err := flow.AwaitHead(); err != os.ErrDeadlineExceeded || time.Since(began) != 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		_ = flow.Deliver(head(2, "", 0))
		began = time.Now()
		go func() {
			time.Sleep(time.Second)
			flow.Extend(time.Now().Add(5 * time.Second))
		}()
		if _, _, err := flow.Take(2 * time.Second); err != os.ErrDeadlineExceeded || time.Since(began) != 6*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}
