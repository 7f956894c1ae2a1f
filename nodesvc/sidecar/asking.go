package sidecar

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/stead-io/stead/api/tunnel"
)

var errOtherProtocol = errors.New("the service changed to a protocol that it was not asked for")

// asking is the transport of requests for another protocol: each has a connection of its own.
type asking struct {
	upstream string
	offers   []string
}

// switched is an answer that changes protocols. It comes as an error, past ReverseProxy: that would carry the
// connection on by itself, and lose what the client sent early.
type switched struct {
	answer   *http.Response
	conn     net.Conn
	reader   *bufio.Reader
	protocol string
}

func (*switched) Error() string { return "the service changed protocols" }

// early is what came of the new protocol with the answer.
func (s *switched) early() []byte {
	octets, _ := s.reader.Peek(s.reader.Buffered()) // no more than is there
	return octets
}

// RoundTrip implements http.RoundTripper. The error is a *switched if the service agrees.
func (a asking) RoundTrip(r *http.Request) (*http.Response, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(r.Context(), "tcp", a.upstream)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(r.Context(), func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	answer, err := a.ask(conn, r)
	if err != nil {
		stop()
		var agreed *switched
		if !errors.As(err, &agreed) {
			_ = conn.Close()
		}
		return nil, err
	}
	answer.Body = ownBody{answer.Body, conn, stop}
	return answer, nil
}

// ask sends the request and reads the head of its answer, past interim ones.
func (a asking) ask(conn net.Conn, r *http.Request) (*http.Response, error) {
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", strings.Join(a.offers, ", "))
	if err := r.Write(conn); err != nil {
		return nil, fmt.Errorf("cannot send the request: %w", err)
	}
	limited := &io.LimitedReader{R: conn, N: upstreamHeaderMax}
	reader := bufio.NewReader(limited)
	for {
		answer, err := http.ReadResponse(reader, r)
		switch {
		case err != nil:
			return nil, fmt.Errorf("cannot read the answer: %w", err)
		case answer.StatusCode == http.StatusSwitchingProtocols:
			return nil, a.agree(&switched{answer: answer, conn: conn, reader: reader})
		case answer.StatusCode >= 200:
			limited.N = math.MaxInt64
			return answer, nil
		}
	}
}

// agree checks that the service changes to one protocol that was asked for.
func (a asking) agree(s *switched) error {
	named := s.answer.Header["Upgrade"]
	if len(named) == 1 && namesUpgrade(s.answer.Header) {
		s.protocol = tunnel.Agreed(a.offers, named[0])
	}
	if s.protocol == "" {
		return errOtherProtocol
	}
	return s
}

// ownBody is the body of an answer that came on a connection of its own.
type ownBody struct {
	io.Reader
	conn net.Conn
	stop func() bool
}

func (b ownBody) Close() error {
	b.stop()
	return b.conn.Close()
}
