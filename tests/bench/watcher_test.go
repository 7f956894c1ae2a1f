//go:build bench

package bench

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
)

// form is an encoding of the ring that watchers ask for.
type form struct {
	name, accept string
	gzip         bool
}

var forms = []form{
	{"full JSON", api.TypeJSON, false},
	{"full JSON, gzip", api.TypeJSON, true},
	{"full binary", api.TypeRing, false},
	{"full binary, gzip", api.TypeRing, true},
	{"delta", api.TypeRingDelta + ", " + api.TypeRing, false},
	{"delta, gzip", api.TypeRingDelta + ", " + api.TypeRing, true},
}

// arrival is an answer that a watcher has read to its last octet.
type arrival struct {
	version uint64
	at      time.Time
}

// crowd is many watchers on connections of their own, spread over the members. A watcher reads the
// octets of its answers and looks at nothing but status, version and length, so that what is measured
// is the control plane's work; like a real one it polls again as soon as it has an answer.
type crowd struct {
	arrivals chan arrival
	polling  atomic.Int64 // polls sent
	octets   atomic.Int64 // of answers' bodies
	all      sync.WaitGroup
	stop     context.CancelFunc
}

const (
	watchWait    = "2m"
	answerBuffer = 8 << 10
	retryAfter   = 50 * time.Millisecond
)

// gather starts the watchers; each polls for what comes after the version.
func gather(t *testing.T, apis []string, count int, form form, after api.Version) *crowd {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	c := &crowd{arrivals: make(chan arrival, 2*count), stop: stop}
	t.Cleanup(c.disperse)
	for i := range count {
		connection, err := net.Dial("tcp", apis[i%len(apis)])
		if err != nil {
			t.Fatal(err)
		}
		c.all.Go(func() {
			defer connection.Close()
			defer context.AfterFunc(ctx, func() { _ = connection.Close() })()
			if err := c.watch(connection, form, after); err != nil && ctx.Err() == nil {
				t.Errorf("a watcher failed: %v", err)
				stop()
			}
		})
	}
	return c
}

// disperse ends the watchers.
func (c *crowd) disperse() {
	c.stop()
	c.all.Wait()
}

func (c *crowd) watch(connection net.Conn, form form, after api.Version) error {
	encoding := "identity"
	if form.gzip {
		encoding = "gzip"
	}
	buffer, request, again := make([]byte, answerBuffer), []byte(nil), false
	for {
		request = fmt.Appendf(request[:0], "GET /v1/ring?after=%s&wait=%s HTTP/1.1\r\nHost: bench\r\nAccept: %s\r\nAccept-Encoding: %s\r\n\r\n",
			after, watchWait, form.accept, encoding)
		if _, err := connection.Write(request); err != nil {
			return err
		}
		if !again {
			c.polling.Add(1)
		}
		answer, err := readAnswer(connection, buffer)
		if err != nil {
			return err
		}
		switch answer.status {
		case 200:
		case 503: // this member has lost the leader for a moment
			again = true
			time.Sleep(retryAfter)
			continue
		default:
			return fmt.Errorf("a poll was answered %d", answer.status)
		}
		after, again = answer.version, false
		c.octets.Add(int64(answer.length))
		c.arrivals <- arrival{after.Number, time.Now()}
	}
}

type pollAnswer struct {
	status, length int
	version        api.Version
}

// readAnswer reads one answer with a Content-Length and drops its body.
func readAnswer(connection net.Conn, buffer []byte) (answer pollAnswer, err error) {
	filled, end := 0, -1
	for end < 0 {
		if filled == len(buffer) {
			return answer, fmt.Errorf("a head of more than %d octets", filled)
		}
		n, err := connection.Read(buffer[filled:])
		if err != nil {
			return answer, err
		}
		filled += n
		end = bytes.Index(buffer[:filled], []byte("\r\n\r\n"))
	}
	if answer, err = parseHead(string(buffer[:end])); err != nil {
		return answer, err
	}
	left := answer.length - (filled - end - 4)
	for left > 0 {
		n, err := connection.Read(buffer[:min(left, len(buffer))])
		if err != nil {
			return answer, err
		}
		left -= n
	}
	return answer, nil
}

func parseHead(head string) (answer pollAnswer, err error) {
	status, fields, _ := strings.Cut(head, "\r\n")
	if len(status) < len("HTTP/1.1 200") {
		return answer, fmt.Errorf("no HTTP: %q", status)
	}
	if answer.status, err = strconv.Atoi(status[9:12]); err != nil {
		return answer, err
	}
	for line := range strings.SplitSeq(fields, "\r\n") {
		switch name, value, _ := strings.Cut(line, ": "); name {
		case "Content-Length":
			answer.length, err = strconv.Atoi(value)
		case "Etag":
			answer.version, err = api.ParseVersion(strings.Trim(value, `"`))
		}
		if err != nil {
			return answer, err
		}
	}
	return answer, nil
}
