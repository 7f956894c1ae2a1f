package peer

import (
	"net"
	"time"
)

// writeStep is what one deadline is for, in bytes: slower than a step a deadline counts as standing still.
const writeStep = 64 << 10

// incoming reads from a connection on which something must come all the time.
type incoming struct {
	conn     net.Conn
	silence  time.Duration
	counters *counters // nil during the greeting, which has a deadline of its own
}

func (in *incoming) Read(p []byte) (int, error) {
	if in.counters == nil {
		return in.conn.Read(p)
	}
	if err := in.conn.SetReadDeadline(time.Now().Add(in.silence)); err != nil {
		return 0, err
	}
	n, err := in.conn.Read(p)
	if n > 0 {
		in.counters.heard.Store(time.Now().UnixNano())
		in.counters.bytesIn.Add(uint64(n))
	}
	return n, err
}

// outgoing writes to a connection on which something must leave all the time.
type outgoing struct {
	conn     net.Conn
	timeout  time.Duration
	counters *counters
}

func (out *outgoing) Write(p []byte) (written int, err error) {
	for written < len(p) && err == nil {
		step := p[written:min(len(p), written+writeStep)]
		if err = out.conn.SetWriteDeadline(time.Now().Add(out.timeout)); err != nil {
			break
		}
		var n int
		n, err = out.conn.Write(step)
		written += n
		out.counters.bytesOut.Add(uint64(n))
	}
	return written, err
}

// abort closes a connection without a word: TLS would wait for its farewell to leave.
func abort(conn net.Conn) {
	_ = innermost(conn).Close() // it ends either way
}

// innermost is what TLS, and this package, wrapped.
func innermost(conn net.Conn) net.Conn {
	for {
		wrapped, is := conn.(interface{ NetConn() net.Conn })
		if !is {
			return conn
		}
		conn = wrapped.NetConn()
	}
}
