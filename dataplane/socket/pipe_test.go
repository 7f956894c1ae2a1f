//go:build linux && (amd64 || arm64)

package socket

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// TestPipe: octets pass from one connection to another, all of them and in their order, whichever side is slow.
func TestPipe(t *testing.T) {
	from, _, source := pair(t)
	to, _, sink := pair(t)
	pipes := NewPipes()
	defer pipes.Close()
	octets := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	go func() { _, _ = source.Write(octets) }()
	got := make(chan []byte)
	go func() {
		all := make([]byte, len(octets))
		_, _ = io.ReadFull(sink, all)
		got <- all
	}()
	pipe := pipes.Take()
	for left := int64(len(octets)); left > 0; {
		n, err := pipe.Fill(from, left)
		if err != nil || n == 0 || n != pipe.Held() || n > pipeSize {
			t.Fatalf("%d octets came, %d are held: %v", n, pipe.Held(), err)
		}
		for left -= int64(n); pipe.Held() > 0; {
			before := pipe.Held()
			if err := pipe.Drain(to, 10_000); err != nil || before-pipe.Held() != min(before, 10_000) {
				t.Fatalf("of %d octets %d are left: %v", before, pipe.Held(), err)
			}
		}
	}
	if !bytes.Equal(<-got, octets) || pipes.Octets.Load() != uint64(len(octets)) {
		t.Errorf("%d octets came through, and not what was sent", pipes.Octets.Load())
	}
	pipes.Return(pipe)
	if pipes.Take() != pipe {
		t.Error("the pipe is not used again")
	}
}

// TestPipeEnds: errors are those of the connections.
func TestPipeEnds(t *testing.T) {
	from, near, source := pair(t)
	to, out, sink := pair(t)
	pipe := NewPipes().Take()
	defer pipe.close()
	f := func(want error, most int64) {
		t.Helper()
		if n, err := pipe.Fill(from, most); !errors.Is(err, want) || (n > 0) != (want == nil) {
			t.Errorf("%d octets, %v, want %v", n, err, want)
		}
	}
	_ = near.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	f(os.ErrDeadlineExceeded, 10)
	_ = near.SetReadDeadline(time.Now().Add(patience))
	write(t, source, "abcdef")
	arrived(t, from)
	f(nil, 4)
	if err := pipe.Drain(to, 4); err != nil {
		t.Fatal(err)
	}
	f(nil, 4)
	_ = sink.Close()
	_ = out.Close()
	if err := pipe.Drain(to, 2); !errors.Is(err, net.ErrClosed) || pipe.Held() != 2 {
		t.Errorf("%v; %d octets are held", err, pipe.Held())
	}
	pipe.held = 0
	_ = source.Close()
	f(io.EOF, 4)
	_ = near.Close()
	f(net.ErrClosed, 4)
}

// TestPipeFull: who does not read is waited for until the deadline, and not longer.
func TestPipeFull(t *testing.T) {
	from, near, source := pair(t)
	to, out, _ := pair(t)
	pipes := NewPipes()
	defer pipes.Close()
	go func() { _, _ = io.Copy(source, endless{}) }()
	defer func() { _ = near.Close() }()
	pipe := pipes.Take()
	var err error
	for err == nil {
		if pipe.Held() == 0 {
			if _, err := pipe.Fill(from, pipeSize); err != nil {
				t.Fatal(err)
			}
		}
		_ = out.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		err = pipe.Drain(to, pipeSize)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) || pipe.Held() == 0 {
		t.Errorf("%v; %d octets are held", err, pipe.Held())
	}
	pipes.Return(pipe)
	if next := pipes.Take(); next == pipe {
		t.Error("a pipe that holds another's octets is lent again")
	} else {
		pipes.Return(next)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestPipesKept: no more are kept than may be, and none once they are closed.
func TestPipesKept(t *testing.T) {
	pipes := NewPipes()
	var all []*Pipe
	for range pipesIdleMax + 3 {
		all = append(all, pipes.Take())
	}
	late := all[0]
	for _, pipe := range all[1:] {
		pipes.Return(pipe)
	}
	if len(pipes.idle) != pipesIdleMax {
		t.Errorf("%d are kept", len(pipes.idle))
	}
	pipes.Close()
	pipes.Return(late)
	if len(pipes.idle) > 0 || pipes.Take() != nil {
		t.Error("some are there after the end")
	}
}
