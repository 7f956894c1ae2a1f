package dataplane

import (
	"io"
	"strconv"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/dataplane/forward"
	"github.com/stead-io/stead/dataplane/wire"
)

// framing is how the end of an answer's body is shown to the client.
type framing uint8

const (
	noBody framing = iota
	byLength
	byChunks
	byClose
)

// gather is how many octets of an answer are put together before they are sent, if they are there.
const gather = 16 << 10

// relay passes an answer on as it comes. One that breaks off is broken off here too.
func (x *exchange) relay(answer forward.Answer) {
	head := answer.Head()
	status := head.Status
	x.record.status = status
	if status == 101 {
		x.join(answer)
		return
	}
	framing := x.framing(head)
	if framing == byClose || !answer.Uploaded() {
		x.conn.CloseAfter()
	}
	x.appendHead(head, framing)
	err := x.relayBody(answer, framing)
	if !answer.Uploaded() {
		x.conn.InterruptRead()
	}
	// The connection to the node is free before the client has the end of the answer: the client's
	// next request finds it.
	answer.Close()
	if flushed := x.flush(); err == nil {
		err = flushed
	}
	if err != nil {
		x.record.cut = true
		x.conn.CloseAfter()
		if framing == byClose {
			x.conn.Abort()
		}
	}
	x.proxy.metrics.answered(status)
}

// framing chooses by the node's framing and the client's version.
func (x *exchange) framing(head *wire.Answer) framing {
	switch {
	case head.Length == 0:
		return noBody
	case head.Length > 0:
		return byLength
	case x.head.Minor == 0:
		return byClose
	default:
		return byChunks
	}
}

func (x *exchange) appendHead(head *wire.Answer, framing framing) {
	x.out = forward.AppendAnswer(x.out[:0], head, x.proxy.trails.droppedBack)
	x.out = x.appendTrailBack(x.out, x.versionBack(head))
	switch framing {
	case byChunks:
		x.out = append(x.out, "Transfer-Encoding: chunked\r\n"...)
	case byLength, noBody:
		x.appendLength(head)
	}
	x.appendOwn()
	x.appendConnection()
	x.out = append(x.out, "\r\n"...)
	x.record.head = len(x.out)
}

// appendLength repeats the node's Content-Length, which stands in answers without a body too (to
// HEAD, and 304), but for statuses that must not have one. An answer whose chunks or close were
// found not to carry a body has none to repeat.
func (x *exchange) appendLength(head *wire.Answer) {
	if head.Status == 204 {
		return
	}
	for i := range head.Fields {
		if field := &head.Fields[i]; field.Kind == wire.ContentLength {
			x.out = append(x.out, field.Line...)
		}
	}
}

// appendConnection says whether the connection carries on, where the client would not assume it.
func (x *exchange) appendConnection() {
	switch persists := x.conn.Persists(); {
	case !persists:
		x.out = append(x.out, "Connection: close\r\n"...)
	case x.head.Minor == 0:
		x.out = append(x.out, "Connection: keep-alive\r\n"...)
	}
}

// appendOwn says what the proxy itself has to say to the client.
func (x *exchange) appendOwn() {
	if x.drawn.present {
		x.appendDrawnKey()
	}
	if x.shows() {
		x.appendShown()
	}
}

// shows reports whether the client asked to see where its request went.
func (x *exchange) shows() bool {
	return string(steadField(&x.head.Head, api.HeaderShow)) == "node"
}

func (x *exchange) appendShown() {
	x.out = append(append(append(x.out, api.HeaderNode+": "...), x.node.ID...), "\r\n"...)
	if x.stamp.Key != nil {
		x.out = append(strconv.AppendUint(append(x.out, api.HeaderSlot+": "...), uint64(x.stamp.Slot), 10), "\r\n"...)
		x.out = append(strconv.AppendUint(append(x.out, api.HeaderEpoch+": "...), uint64(x.stamp.Epoch), 10), "\r\n"...)
	}
}

// relayBody sends what is gathered whenever the node has nothing more at hand, so that each octet
// reaches the client as soon as it came. What the node sent last is left to be sent.
func (x *exchange) relayBody(answer forward.Answer, framing framing) error {
	if framing == byLength {
		if err := x.pour(answer); err != nil {
			return err
		}
	}
	for {
		if len(x.out) >= gather || len(x.out) > 0 && !answer.Ready() {
			if err := x.flush(); err != nil {
				return err
			}
		}
		piece, err := answer.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if len(piece) > 0 {
			x.appendPiece(piece, framing)
		}
	}
	if framing == byChunks {
		x.out = append(append(append(x.out, "0\r\n"...), answer.Trailers()...), "\r\n"...)
	}
	return nil
}

func (x *exchange) appendPiece(piece []byte, framing framing) {
	if framing != byChunks {
		x.out = append(x.out, piece...)
		return
	}
	x.out = append(strconv.AppendInt(x.out, int64(len(piece)), 16), "\r\n"...)
	x.out = append(append(x.out, piece...), "\r\n"...)
}

func (x *exchange) flush() error {
	if len(x.out) == 0 {
		return nil
	}
	err := x.conn.Send(x.out)
	if err == nil {
		x.record.sent += int64(len(x.out))
	}
	x.out = x.out[:0]
	return err
}
