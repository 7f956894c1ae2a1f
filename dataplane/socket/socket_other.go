//go:build !linux || !(amd64 || arm64)

package socket

import "net"

// Socket is for systems whose calls are known here; elsewhere connections are used as net.Conn.
type Socket struct{}

// Of knows no sockets here.
func Of(net.Conn) *Socket { return nil }

func (*Socket) Receive(*Buffers) (buffer *[]byte, n int, err error) { panic("no socket was made") }

func (*Socket) Ask(request []byte, answers *Buffers, used bool) (Sent, error) {
	panic("no socket was made")
}

func (*Socket) Send(p []byte) error { panic("no socket was made") }
