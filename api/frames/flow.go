package frames

import (
	"bytes"
	"io"
	"os"
	"sync"
	"time"
)

// hintsMax is how many octets of interim heads wait on a stream for whoever waits for the answer.
const hintsMax = HeadMax

// Violations of a stream's order. They are the other side's fault, and end the connection.
const (
	errWindow = Error("more of a body came than its window has room for")
	errGrown  = Error("a window grew beyond what it may")
	errOrder  = Error("a frame came that its stream has no place for")
)

// Flow is both directions of a stream's body: what has come and was not taken, and what may be sent. A Flow is
// used for one stream after another; what is meant for a former one changes nothing. Deliver, Grant and Fail
// never wait. One goroutine may Take while another one Reserves.
type Flow struct {
	mu         sync.Mutex
	stream     uint64
	window     int    // of what comes
	head       []byte // what began it
	interims   [][]byte
	hinted     int    // octets of interims
	trailers   []byte // what came behind it
	room       int    // how much more may come now
	filled     []byte // what has come
	taking     []byte // what Take has handed out
	taken      int    // since the window was last widened
	begun      bool   // the head has come
	allowed    bool   // the other side asks for the body
	ended      bool   // all has come
	err        error  // why nothing more comes or goes
	halted     error  // why nothing more goes
	credit     int64  // how much may be sent
	came, went chan struct{}

	takeBy, sendBy time.Time // past these, waiting ends; zero: it does not
	timer          *time.Timer
	timerAt        time.Time // when it wakes up whoever waits; zero: it does not
}

// Begin makes the flow that of another stream.
func (f *Flow) Begin(stream uint64, window, credit uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.came == nil {
		f.came, f.went = make(chan struct{}, 1), make(chan struct{}, 1)
	}
	f.stream, f.window, f.room, f.credit = stream, int(window), int(window), int64(credit)
	f.taken, f.begun, f.allowed, f.ended, f.err, f.halted = 0, false, false, false, nil, nil
	f.interims, f.hinted, f.trailers = nil, 0, f.trailers[:0]
	f.takeBy, f.sendBy = time.Time{}, time.Time{}
}

// Forget ends the stream: whatever still comes for it is dropped, and what Take handed out is not valid any more.
func (f *Flow) Forget() {
	f.mu.Lock()
	f.stream = 0
	f.filled, f.taking = kept(f.filled), kept(f.taking)
	f.mu.Unlock()
}

// Deliver takes what has come: a head, which begins what comes, octets of the body, and its trailers. The error is a
// violation.
func (f *Flow) Deliver(frame *Frame) error {
	begins := frame.Type == TypeHead
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.stream != frame.Stream || f.err != nil:
		return nil
	case f.ended || f.begun == begins:
		return errOrder
	case len(frame.Body) > f.room:
		return errWindow
	}
	if begins {
		f.begun, f.head = true, append(f.head[:0], frame.Head...)
	}
	f.room -= len(frame.Body)
	f.filled = hold(f.filled, frame.Body)
	f.trailers = append(f.trailers, frame.Trailers...)
	f.ended = frame.Ends()
	wake(f.came)
	return nil
}

// Hint takes an interim head, which another one follows. Those for which there is no room are dropped: whoever
// waits for the answer does not need them.
func (f *Flow) Hint(frame *Frame) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.stream != frame.Stream || f.err != nil:
		return nil
	case f.begun:
		return errOrder
	case f.hinted+len(frame.Head) > hintsMax:
		return nil
	}
	f.interims = append(f.interims, bytes.Clone(frame.Head))
	f.hinted += len(frame.Head)
	wake(f.came)
	return nil
}

// Allow notes that the other side asks for the body (100, Continue).
func (f *Flow) Allow(stream uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stream == stream {
		f.allowed = true
		wake(f.went)
	}
}

// AwaitAllowed waits until the other side asks for the body; false if it never will.
func (f *Flow) AwaitAllowed(by time.Time) bool {
	f.SetSendDeadline(by)
	f.mu.Lock()
	defer f.mu.Unlock()
	for !f.allowed && f.halted == nil {
		if !f.wait(f.went, &f.sendBy) {
			break
		}
	}
	return f.halted == nil
}

// Grant lets more be sent.
func (f *Flow) Grant(stream uint64, increment int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stream != stream {
		return nil
	}
	if f.credit += int64(increment); f.credit > windowMost {
		return errGrown
	}
	wake(f.went)
	return nil
}

// Fail ends both directions of a stream; where all has come, it may still be taken. No error makes a body whole.
func (f *Flow) Fail(stream uint64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stream != stream || f.err != nil {
		return
	}
	if f.ended {
		f.halt(err)
		return
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // the end of a connection is no end of a body
	}
	f.err = err
	wake(f.came)
	f.halt(err)
}

// Halt ends the sending direction alone.
func (f *Flow) Halt(stream uint64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stream == stream {
		f.halt(err)
	}
}

func (f *Flow) halt(err error) {
	if f.halted == nil {
		f.halted = err
	}
	wake(f.went)
}

func wake(whom chan struct{}) {
	select {
	case whom <- struct{}{}:
	default:
	}
}

// AwaitHead waits for the head, valid until the next Begin. Interim ones come before it, one a call.
func (f *Flow) AwaitHead() ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for !f.begun && f.err == nil && len(f.interims) == 0 {
		if !f.wait(f.came, &f.takeBy) {
			return nil, os.ErrDeadlineExceeded
		}
	}
	switch {
	case len(f.interims) > 0 && over(f.takeBy):
		return nil, os.ErrDeadlineExceeded // interim ones may come without end
	case len(f.interims) > 0:
		interim := f.interims[0]
		f.interims = f.interims[1:]
		f.hinted -= len(interim)
		return interim, nil
	case f.begun:
		return f.head, nil
	default:
		return nil, f.err
	}
}

// Ready reports whether Take returns without waiting.
func (f *Flow) Ready() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.filled) > 0 || f.ended || f.err != nil
}

// Take returns what has come, valid until the call after it, and io.EOF behind the last. Of what was taken
// before, the window is to be widened by grant, if that is not 0. With a patience, that is how long it waits,
// unless somebody moves the deadline.
func (f *Flow) Take(patience time.Duration) (piece []byte, grant int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.taken += len(f.taking)
	f.taking = f.taking[:0]
	if f.taken >= f.window/2 && !f.ended && f.err == nil {
		grant, f.taken = f.taken, 0
		f.room += grant
		if len(f.filled) == 0 {
			return nil, grant, nil // the window first, or nothing might come
		}
	}
	if patience > 0 && len(f.filled) == 0 && !f.ended && f.err == nil {
		f.takeBy = time.Now().Add(patience)
		f.watch(f.takeBy)
	}
	for len(f.filled) == 0 && !f.ended && f.err == nil {
		if !f.wait(f.came, &f.takeBy) {
			return nil, grant, os.ErrDeadlineExceeded
		}
	}
	switch {
	case len(f.filled) > 0:
		f.filled, f.taking = f.taking, f.filled
		return f.taking, grant, nil
	case f.ended:
		return nil, 0, io.EOF
	default:
		return nil, grant, f.err
	}
}

// Trailers are the lines behind the body, once Take has returned io.EOF; valid until the next Begin.
func (f *Flow) Trailers() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.trailers
}

// Ended reports whether all has come.
func (f *Flow) Ended() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ended
}

// Reserve waits until some of most octets may be sent, and takes as many.
func (f *Flow) Reserve(most int) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.credit <= 0 && f.halted == nil {
		if !f.wait(f.went, &f.sendBy) {
			return 0, os.ErrDeadlineExceeded
		}
	}
	if f.halted != nil {
		return 0, f.halted
	}
	n := min(int64(most), f.credit)
	f.credit -= n
	return int(n), nil
}
