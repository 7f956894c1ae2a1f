package h2c

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/stead-io/stead/dataplane/forward"
)

// later writes beside whoever has something to say: a pipe has no room.
type later chan []byte

func (l later) Write(p []byte) (int, error) {
	l <- bytes.Clone(p)
	return len(p), nil
}

func (l later) writeTo(conn net.Conn) {
	for octets := range l {
		_, _ = conn.Write(octets)
	}
}

// TestPings: a node that is silent is asked whether it is there, and no more often than servers of gRPC put up with.
func TestPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		var pings []time.Time
		go func() {
			_, _ = io.ReadFull(there, make([]byte, len(http2.ClientPreface)))
			said := make(later, 16)
			defer close(said)
			go said.writeTo(there)
			f := http2.NewFramer(said, there)
			_ = f.WriteSettings()
			for {
				frame, err := f.ReadFrame()
				if err != nil {
					return
				}
				switch frame := frame.(type) {
				case *http2.HeadersFrame:
					_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: frame.StreamID, BlockFragment: []byte{0x88}, EndHeaders: true})
				case *http2.PingFrame:
					pings = append(pings, time.Now())
					_ = f.WritePing(true, frame.Data)
				}
			}
		}()
		transport := New(Config{Dial: func(context.Context, forward.Target) (net.Conn, error) { return here, nil }, Scheme: "http", Stats: new(forward.Stats)})
		defer transport.Close()
		began := time.Now()
		answer, err := transport.Send(forward.Target{Node: "n1", Address: "h2c://127.0.0.1:1"}, &forward.Request{
			Head: []byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), Safe: true, Deadline: began.Add(time.Minute), Patience: 24 * time.Hour,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Close()
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(pings) < 10 {
			t.Errorf("there were %d in an hour", len(pings))
		}
		for _, at := range pings {
			if at.Sub(began) < 5*time.Minute {
				t.Errorf("one came after %v", at.Sub(began))
			}
			began = at
		}
	})
}
