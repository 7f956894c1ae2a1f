package forward

import (
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const uploadPiece = 32 << 10

// upload sends a body over a connection in HTTP/1.1.
type upload struct {
	Sending
	connection *connection
	body       *Body
	wait       time.Duration // for the answer, once all is sent

	permission chan struct{} // 100 (Continue) has come, or is not waited for
	permitOnce sync.Once
	answered   atomic.Bool // the head of the answer has come

	frame [3][]byte // of one chunk
	size  [18]byte
}

func startUpload(c *connection, r *Request) *upload {
	u := &upload{connection: c, body: r.Body, wait: r.Wait, permission: make(chan struct{})}
	if !r.ExpectContinue {
		u.permit()
	}
	u.Prepare(r.Body)
	u.Start(u.run)
	return u
}

func (u *upload) permit() { u.permitOnce.Do(func() { close(u.permission) }) }

func (u *upload) run() bool {
	if !u.permitted() {
		return false
	}
	for piece, err := range u.Pieces(uploadPiece) {
		if err != nil {
			// The node must not take what it has for the whole; its reader wakes up too.
			_ = u.connection.Conn.Close()
			return false
		}
		if !u.write(piece) {
			return false
		}
	}
	if !u.Whole() {
		return false
	}
	sent := !u.body.chunked() || u.flush(u.body.appendEnd(u.size[:0]))
	u.awaitAnswer(u.wait)
	return sent
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

func (u *upload) permitted() bool {
	timer := time.NewTimer(ContinueWait)
	defer timer.Stop()
	select {
	case <-u.permission:
		return true
	case <-timer.C:
		return true
	case <-u.Halted():
		return false
	}
}

// write sends octets of the body, framed as its length demands.
func (u *upload) write(piece []byte) bool {
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
		u.awaitAnswer(LastWordsWait)
	}
	return err == nil
}
