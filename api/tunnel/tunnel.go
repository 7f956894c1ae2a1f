package tunnel

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// Bounds of a tunnel.
const (
	// IdleDefault is how long nothing may move in either direction, unless a Config says otherwise.
	IdleDefault = 10 * time.Minute

	bufferMin = 4 << 10  // octets that each direction holds at first
	bufferMax = 32 << 10 // and where they come faster

	// endWait is how long an end waits for the node to end its side.
	endWait = 200 * time.Millisecond
	// closeWait is how long a WebSocket of which one side is gone waits for the other: it has no half-closed state.
	closeWait = 5 * time.Second
	// A client that is sent away is listened to for a while, so that a reset does not overtake what it was told.
	lingerTime = 500 * time.Millisecond
	lingerMax  = 1 << 20 // octets
)

// Ending is why a tunnel ended.
type Ending struct {
	// Code is what a WebSocket client is told (RFC 6455, section 7.4); 0: nothing, it is gone or has been told.
	Code   uint16
	Reason string
}

// Endings from the middle. Closed is no such: one of the two sides ended the tunnel.
var (
	Closed  = Ending{}
	Moved   = Ending{1012, "moved"} // Service Restart: connect again
	Leaving = Ending{1001, "leaving"}
	Idle    = Ending{1001, "idle"}
)

// Side is one end of a tunnel.
type Side struct {
	Conn net.Conn
	// Early are octets that were read already, of those that belong to the tunnel.
	Early []byte
}

// Config of a Tunnel.
type Config struct {
	Client, Node Side
	// Protocol is what the connection changed to: of a WebSocket the frames towards the client are followed.
	Protocol string
	// Idle is how long nothing may move, in either direction.
	Idle time.Duration
}

// Tunnel joins two connections. Run is called once; End may be called at any time.
type Tunnel struct {
	client, node stream
	frames       *frames // nil if the protocol is not known

	mu     sync.Mutex
	idle   time.Duration
	last   time.Time // when something moved
	ending *Ending   // set once
}

// stream is one side, with the deadline that was set for writing to it.
type stream struct {
	Side
	writeBy time.Time
}

// New makes a tunnel of two connections, of which the client's is to be closed by the caller.
func New(config Config) *Tunnel {
	t := &Tunnel{client: stream{Side: config.Client}, node: stream{Side: config.Node}, idle: config.Idle, last: time.Now()}
	if strings.EqualFold(config.Protocol, WebSocket) {
		t.frames = &frames{}
	}
	return t
}

// End ends the tunnel soon, between two frames if it is a WebSocket. Only the first End counts: it returns true.
func (t *Tunnel) End(ending Ending) (first bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ending != nil {
		return false
	}
	t.ending = &ending
	now := time.Now()
	_ = t.client.Conn.SetReadDeadline(now)
	_ = t.node.Conn.SetReadDeadline(now)
	_ = t.client.Conn.SetWriteDeadline(now.Add(endWait))
	_ = t.node.Conn.SetWriteDeadline(now.Add(endWait))
	return true
}

// Run carries octets both ways until the tunnel has ended, closes the node's connection, and says why.
func (t *Tunnel) Run() Ending {
	up := make(chan struct{})
	go func() {
		defer close(up)
		t.up()
	}()
	t.down()
	<-up
	_ = t.node.Conn.Close()
	ending, _ := t.ended()
	return ending
}

// Part lets a client that was sent away read why. It takes a moment, and comes before its connection is closed.
func (t *Tunnel) Part() {
	if ending, ended := t.ended(); !ended || ending == Closed || closeWrite(t.client.Conn) != nil {
		return
	}
	_ = t.client.Conn.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, t.client.Conn, lingerMax)
}

// up carries what the client sends. The node hears of its end, and may go on to answer.
func (t *Tunnel) up() {
	err := t.carry(&t.node, &t.client, nil)
	switch {
	case errors.Is(err, errWrite):
		return // what the node said before it went is still on its way down
	case err == io.EOF:
		t.hasten(&t.node)
	case err != errEnded:
		t.End(Closed)
	}
	if closeWrite(t.node.Conn) != nil {
		t.End(Closed)
	}
}

// down carries what the node sends, and tells the client of the end.
func (t *Tunnel) down() {
	err := t.carry(&t.client, &t.node, t.frames)
	switch {
	case err == io.EOF:
		t.hasten(&t.client)
		if closeWrite(t.client.Conn) != nil {
			t.End(Closed)
		}
	case err == errEnded:
		t.conclude()
	default:
		t.End(Closed)
	}
}

// conclude carries on until the node, which hears that nothing more comes, has ended its side, but not for long. Then
// it tells a WebSocket client why, unless a frame is under way.
func (t *Tunnel) conclude() {
	ending, _ := t.ended()
	if ending == Closed {
		return
	}
	now := time.Now()
	_ = t.node.Conn.SetReadDeadline(now.Add(endWait))
	if t.frames == nil {
		_ = t.client.Conn.SetWriteDeadline(now.Add(2 * endWait))
		_, _ = io.Copy(t.client.Conn, t.node.Conn)
		return
	}
	if t.lastFrames() {
		_ = t.tell(closeFrame(ending.Code, ending.Reason))
	}
	_, _ = io.Copy(io.Discard, t.node.Conn)
}

// tell writes to the client of a tunnel that has ended. The time for it counts from now: on a busy machine any other may
// have passed before it was made use of.
func (t *Tunnel) tell(octets []byte) error {
	_ = t.client.Conn.SetWriteDeadline(time.Now().Add(endWait))
	_, err := t.client.Conn.Write(octets)
	return err
}

// lastFrames carries what the node still sends, but for a Close frame: what to tell is known better here. It reports
// whether one may follow.
func (t *Tunnel) lastFrames() bool {
	for buffer := make([]byte, bufferMin); ; {
		n, err := t.node.Conn.Read(buffer)
		taken := t.frames.followToClose(buffer[:n])
		if taken > 0 {
			if t.tell(buffer[:taken]) != nil {
				return false
			}
		}
		if taken < n || err != nil {
			return t.frames.between()
		}
	}
}

var (
	errEnded = errors.New("the tunnel was ended")
	errWrite = errors.New("the other side takes nothing more")
)

// carry moves octets from one side to the other until from ends (io.EOF), the tunnel does (errEnded), or one of them
// fails (errWrite: the one written to).
func (t *Tunnel) carry(to, from *stream, frames *frames) error {
	if err := t.pass(to, from.Early, frames); err != nil {
		return err
	}
	from.Early = nil
	err := t.arm(from)
	for buffer := make([]byte, bufferMin); err == nil; {
		var n int
		n, err = from.Conn.Read(buffer)
		if passed := t.pass(to, buffer[:n], frames); passed != nil {
			return passed
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = t.arm(from)
		}
		if n == len(buffer) && n < bufferMax {
			buffer = make([]byte, 2*n)
		}
	}
	if _, ended := t.ended(); ended {
		return errEnded // of an end that one direction passed on, the other may have seen the echo
	}
	return err
}

// arm has reads end when nothing has moved for too long, which ends the tunnel: errEnded. The deadline is only moved
// when it has passed: to move a timer costs more than to look at it.
func (t *Tunnel) arm(from *stream) error {
	t.mu.Lock()
	quiet := time.Since(t.last)
	switch {
	case t.ending != nil:
		t.mu.Unlock()
		return errEnded
	case quiet < t.idle:
		defer t.mu.Unlock()
		return from.Conn.SetReadDeadline(t.last.Add(t.idle))
	}
	t.mu.Unlock()
	t.End(Idle)
	return errEnded
}

// pass writes octets, all of them; who does not take them for as long as may be idle has failed.
func (t *Tunnel) pass(to *stream, octets []byte, frames *frames) error {
	if len(octets) == 0 {
		return nil
	}
	t.moved(to)
	n, err := to.Conn.Write(octets)
	if _, ended := t.ended(); ended && n == 0 && to == &t.client && errors.Is(err, os.ErrDeadlineExceeded) {
		err = t.tell(octets)
	}
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.End(Closed)
		}
		return errWrite
	}
	if frames != nil {
		frames.follow(octets)
	}
	return nil
}

// moved notes that octets came, and gives the other side time to take them.
func (t *Tunnel) moved(to *stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = time.Now()
	if t.ending == nil && to.writeBy.Sub(t.last) < t.idle/2 {
		to.writeBy = t.last.Add(t.idle)
		_ = to.Conn.SetWriteDeadline(to.writeBy)
	}
}

// hasten has a WebSocket of which one side is gone not wait for long for the other.
func (t *Tunnel) hasten(other *stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.frames == nil || t.ending != nil {
		return
	}
	t.last, t.idle = time.Now(), min(t.idle, closeWait)
	_ = other.Conn.SetReadDeadline(t.last.Add(t.idle))
}

func (t *Tunnel) ended() (Ending, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ending == nil {
		return Closed, false
	}
	return *t.ending, true
}

// closeWrite ends what is sent on a connection, and leaves what comes on it.
func closeWrite(conn net.Conn) error {
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok {
		return conn.Close()
	}
	return half.CloseWrite()
}
