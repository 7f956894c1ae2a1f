package inbound

import (
	"crypto/tls"
	"errors"
	"io"
	"time"
)

// clear is the answer to a client that begins with HTTP where it should begin with TLS.
const clear = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 39\r\nConnection: close\r\n\r\n" +
	"This port speaks TLS: ask for https://\n"

// Secure reports whether the client's octets come in TLS.
func (c *Conn) Secure() bool {
	_, secure := c.secured()
	return secure || c.stream
}

func (c *Conn) secured() (*tls.Conn, bool) {
	secured, ok := c.Conn.(*tls.Conn)
	return secured, ok
}

// shake agrees with the client on keys and protocol, in the time that a head may take; a client that is only to be
// told that there are too many has less. False: there is nobody to serve.
func (s *Server) shake(c *Conn, secured *tls.Conn) bool {
	patience := s.settings().HeadTimeout
	if c.fault != nil {
		patience = lingerTime
	}
	_ = secured.SetDeadline(time.Now().Add(patience))
	if err := secured.Handshake(); err != nil {
		s.HandshakesFailed.Add(1)
		s.config.Logger.Debug("no TLS with a client", "client", c.RemoteAddr().String(), "error", err)
		answerClear(err)
		return false
	}
	_ = secured.SetDeadline(time.Time{})
	return true
}

// answerClear tells a client that speaks HTTP in the clear what it should speak.
func answerClear(err error) {
	var other tls.RecordHeaderError
	if !errors.As(err, &other) || other.Conn == nil {
		return
	}
	switch string(other.RecordHeader[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET", "PATCH", "CONNE", "TRACE":
		_, _ = io.WriteString(other.Conn, clear)
	}
}
