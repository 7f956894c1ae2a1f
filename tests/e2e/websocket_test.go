//go:build e2e

package e2e

import (
	"bufio"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stead-io/stead/tests/cluster"
)

// webSocket is a client as RFC 6455 has it, for text messages of less than 64 KiB in one frame each.
type webSocket struct {
	net.Conn
	reader *bufio.Reader
}

// closed is the code that a WebSocket ended with.
type closed uint16

func (c closed) Error() string { return fmt.Sprint("closed with ", uint16(c)) }

var errNoWebSocket = errors.New("no WebSocket was opened")

// openWebSocket shakes hands; a refusal is an error.
func openWebSocket(address, target string) (*webSocket, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce)
	key := base64.StdEncoding.EncodeToString(nonce)
	_ = conn.SetDeadline(time.Now().Add(cluster.Patience))
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n", target, address, key)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	reader := bufio.NewReader(conn)
	answer, err := http.ReadResponse(reader, nil)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	if answer.StatusCode != http.StatusSwitchingProtocols || answer.Header.Get("Sec-WebSocket-Accept") != base64.StdEncoding.EncodeToString(sum[:]) {
		return nil, errors.Join(fmt.Errorf("%w: %s", errNoWebSocket, answer.Status), conn.Close())
	}
	return &webSocket{conn, reader}, nil
}

// enter opens a WebSocket that is due to open.
func enter(t *testing.T, c *cluster.Cluster, proxy int, target string) *webSocket {
	t.Helper()
	ws, err := openWebSocket(c.ProxyAddrs[proxy], target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.Close() })
	return ws
}

func (w *webSocket) say(text string) error {
	mask := []byte{1, 2, 3, 4}
	frame := append(binary.BigEndian.AppendUint16([]byte{0x81, 0x80 | 126}, uint16(len(text))), mask...)
	for i := range len(text) {
		frame = append(frame, text[i]^mask[i%4])
	}
	_, err := w.Write(frame)
	return err
}

// hear waits for the next message; a closed is the end of them.
func (w *webSocket) hear() (string, error) {
	head := make([]byte, 2)
	if _, err := io.ReadFull(w.reader, head); err != nil {
		return "", err
	}
	length := uint16(head[1])
	if length == 126 {
		var long [2]byte
		if _, err := io.ReadFull(w.reader, long[:]); err != nil {
			return "", err
		}
		length = binary.BigEndian.Uint16(long[:])
	}
	payload := make([]byte, length)
	if _, err := io.ReadFull(w.reader, payload); err != nil {
		return "", err
	}
	if head[0]&0x0F == 8 && length >= 2 {
		return "", closed(binary.BigEndian.Uint16(payload))
	}
	return string(payload), nil
}

func (w *webSocket) expect(t *testing.T, want ...string) {
	t.Helper()
	for _, text := range want {
		if got, err := w.hear(); got != text || err != nil {
			t.Fatalf("heard %q, %v, want %q", got, err, text)
		}
	}
}
