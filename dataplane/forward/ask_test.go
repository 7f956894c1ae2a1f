package forward

import (
	"io"
	"net"
	"testing"
	"time"
)

// TestDeadlinesThatComeEarly: a deadline that an earlier request left behind neither cuts a later one short nor
// draws it out.
func TestDeadlinesThatComeEarly(t *testing.T) {
	node := startNode(t, func(conn net.Conn, _, n int) bool {
		switch n {
		case 1:
			time.Sleep(120 * time.Millisecond)
		case 2:
			return true // and no answer
		}
		_, err := io.WriteString(conn, okAnswer)
		return err == nil
	})
	transport := newTransport(t)
	ask := func(within time.Duration) (string, time.Duration, error) {
		request := get()
		request.Wait, request.Deadline = patience, time.Now().Add(within)
		began := time.Now()
		body, err := fetch(transport, node, request)
		return body, time.Since(began), err
	}
	if body, _, err := ask(60 * time.Millisecond); body != "ok" || err != nil {
		t.Fatalf("the first request got %q, %v", body, err)
	}
	if body, _, err := ask(patience / 10); body != "ok" || err != nil {
		t.Fatalf("the second request got %q, %v", body, err)
	}
	_, took, err := ask(80 * time.Millisecond)
	if conns, _ := node.counts(); stageOf(err) != TimedOut || took < 80*time.Millisecond || took > patience/2 || conns != 1 {
		t.Errorf("the third request got %v after %v, on one of %d connections", err, took, conns)
	}
}
