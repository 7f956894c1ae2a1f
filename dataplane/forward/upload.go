package forward

import (
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	uploadPiece = 32 << 10
	// continueWait bounds the wait for 100 (Continue) before a body that could not be replayed is
	// sent all the same: a node may not know the expectation (RFC 9110, section 10.1.1).
	continueWait = time.Second
	// lastWordsWait bounds the wait for an upload whose source is at its end, and that for the answer of a node
	// that takes no more.
	lastWordsWait = 50 * time.Millisecond
)

// upload sends a body beside the reading of the answer, so that an answer that comes early is seen
// early. It ends by itself or by halt; whoever started it waits for it.
type upload struct {
	connection *connection
	body       *Body
	wait       time.Duration // for the answer, once all is sent

	permission chan struct{} // 100 (Continue) has come, or is not waited for
	permitOnce sync.Once
	halted     chan struct{}
	haltOnce   sync.Once
	done       chan struct{}
	exhausted  atomic.Bool // the body's source has given all
	answered   atomic.Bool // the head of the answer has come
	sent       bool        // the whole body went out; read behind done

	frame [3][]byte // of one chunk
	size  [18]byte
}

func startUpload(c *connection, r *Request) *upload {
	u := &upload{
		connection: c, body: r.Body, wait: r.Wait,
		permission: make(chan struct{}), halted: make(chan struct{}), done: make(chan struct{}),
	}
	if !r.ExpectContinue {
		u.permit()
	}
	go u.run()
	return u
}

func (u *upload) permit() { u.permitOnce.Do(func() { close(u.permission) }) }

// finish stops the upload and waits for it; it reports whether the whole body went out.
func (u *upload) finish() bool {
	u.haltOnce.Do(func() { close(u.halted) })
	<-u.done
	return u.sent
}

// over reports whether the whole body has gone out. An upload that lacks only the last words to the
// node is waited for: its answer may overtake them.
func (u *upload) over() bool {
	if u.exhausted.Load() {
		timer := time.NewTimer(lastWordsWait)
		defer timer.Stop()
		select {
		case <-u.done:
		case <-timer.C:
		}
	}
	select {
	case <-u.done:
		return u.sent
	default:
		return false
	}
}

func (u *upload) run() {
	defer close(u.done)
	if !u.permitted() || !u.write(u.body.kept) {
		return
	}
	for !u.body.ended {
		piece, err := u.body.more(uploadPiece)
		if err != nil {
			// The node must not take what it has for the whole; its reader wakes up too.
			_ = u.connection.Conn.Close()
			return
		}
		u.exhausted.Store(u.body.ended)
		if u.isHalted() || !u.write(piece) {
			return
		}
	}
	u.sent = !u.body.chunked() || u.flush(u.body.appendEnd(u.size[:0]))
	u.awaitAnswer(u.wait)
}

// awaitAnswer sets the deadline for the head of the answer, unless that has come: whoever of reader
// and upload is last then extends it.
func (u *upload) awaitAnswer(wait time.Duration) {
	if u.answered.Load() {
		return
	}
	_ = u.connection.SetReadDeadline(time.Now().Add(wait))
	if u.answered.Load() {
		u.connection.extend()
	}
}

func (u *upload) isHalted() bool {
	select {
	case <-u.halted:
		return true
	default:
		return false
	}
}

func (u *upload) permitted() bool {
	timer := time.NewTimer(continueWait)
	defer timer.Stop()
	select {
	case <-u.permission:
		return true
	case <-timer.C:
		return true
	case <-u.halted:
		return false
	}
}

// write sends octets of the body, framed as its length demands.
func (u *upload) write(piece []byte) bool {
	if len(piece) == 0 {
		return true
	}
	if !u.body.chunked() {
		return u.flush(piece)
	}
	head := append(strconv.AppendInt(u.size[:0], int64(len(piece)), 16), '\r', '\n')
	u.frame = [3][]byte{head, piece, []byte("\r\n")}
	u.extend()
	buffers := net.Buffers(u.frame[:])
	_, err := buffers.WriteTo(u.connection.Conn)
	return u.went(err)
}

func (u *upload) flush(octets []byte) bool {
	u.extend()
	_, err := u.connection.Conn.Write(octets)
	return u.went(err)
}

// extend moves the deadline on. While the client is waited for, the node owes no answer.
func (u *upload) extend() {
	if u.answered.Load() {
		u.connection.extend()
	} else {
		_ = u.connection.SetWriteDeadline(time.Now().Add(u.connection.patience))
	}
}

// went reports whether a write did. A node that takes no more may have said why.
func (u *upload) went(err error) bool {
	if err != nil {
		u.awaitAnswer(lastWordsWait)
	}
	return err == nil
}
