package peer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"time"

	"github.com/stead-io/stead/api"
)

const (
	upgradeTimeout = 5 * time.Second // for answering
	answerMax      = 8 << 10         // bytes of the head of an answer
)

// ErrNotUpgraded says that a request or answer at Path does not change to Protocol.
var ErrNotUpgraded = errors.New("the connection is not upgraded")

// Upgrade takes the connection of a request at Path over, for Accept. If it cannot, it has answered the request.
func Upgrade(w http.ResponseWriter, r *http.Request) (net.Conn, error) {
	if r.Method != http.MethodGet || !upgrades(r.Header) || r.ContentLength != 0 {
		api.NewProblem(api.CodeInvalid, "only a GET with Upgrade: %s is answered here", Protocol).WriteTo(w)
		return nil, fmt.Errorf("%w: %s without upgrade", ErrNotUpgraded, api.Clip(r.Method))
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		api.NewProblem(api.CodeUpgrade, "this connection cannot be upgraded").WriteTo(w)
		return nil, fmt.Errorf("%w: %w", ErrNotUpgraded, err)
	}
	if err := switchProtocols(conn); err != nil {
		abort(conn)
		return nil, fmt.Errorf("%w: %w", ErrNotUpgraded, err)
	}
	return withBuffered(conn, buffered.Reader), nil
}

func switchProtocols(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(upgradeTimeout)); err != nil {
		return err
	}
	const answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + Protocol + "\r\n\r\n"
	if _, err := io.WriteString(conn, answer); err != nil {
		return err
	}
	return conn.SetDeadline(time.Time{})
}

// upgrades reports whether a head asks for, or agrees to, Protocol and nothing else.
func upgrades(header http.Header) bool {
	offered := header.Values("Upgrade")
	if len(offered) != 1 || !strings.EqualFold(offered[0], Protocol) {
		return false
	}
	for _, value := range header.Values("Connection") {
		for token := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(textproto.TrimString(token), "upgrade") {
				return true
			}
		}
	}
	return false
}

// DialHTTP makes a Dial that upgrades the connections another one opens to HTTP servers.
func DialHTTP(dial Dial) Dial {
	return func(ctx context.Context, node api.NodeID, address string) (net.Conn, error) {
		conn, err := dial(ctx, node, address)
		if err != nil {
			return nil, err
		}
		upgraded, err := ask(ctx, conn, address)
		if err != nil {
			abort(conn)
			return nil, errors.Join(err, ctx.Err())
		}
		return upgraded, nil
	}
}

func ask(ctx context.Context, conn net.Conn, address string) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // what waits fails
	defer stop()
	request := "GET " + Path + " HTTP/1.1\r\nHost: " + address + "\r\nConnection: Upgrade\r\nUpgrade: " + Protocol + "\r\n\r\n"
	if _, err := io.WriteString(conn, request); err != nil {
		return nil, fmt.Errorf("cannot ask for the upgrade: %w", err)
	}
	reader := bufio.NewReader(io.LimitReader(conn, answerMax))
	answer, err := http.ReadResponse(reader, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot read the answer to the upgrade: %w", err)
	}
	if answer.StatusCode != http.StatusSwitchingProtocols || !upgrades(answer.Header) {
		return nil, fmt.Errorf("%w: it answered %s", ErrNotUpgraded, clip([]byte(answer.Status)))
	}
	if !stop() {
		return nil, ctx.Err() // the deadline is, or will be, in the past
	}
	return withBuffered(conn, reader), nil
}

// upgraded is a connection some of whose octets were read with the head.
type upgraded struct {
	net.Conn
	before io.Reader // these, and then the connection
}

// withBuffered is conn, with the octets that reader holds before it.
func withBuffered(conn net.Conn, reader *bufio.Reader) net.Conn {
	if reader.Buffered() == 0 {
		return conn
	}
	octets, _ := reader.Peek(reader.Buffered()) // so many there are
	return &upgraded{Conn: conn, before: io.MultiReader(strings.NewReader(string(octets)), conn)}
}

func (u *upgraded) Read(p []byte) (int, error) { return u.before.Read(p) }

// NetConn is what the octets come from.
func (u *upgraded) NetConn() net.Conn { return u.Conn }
