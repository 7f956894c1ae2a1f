package tunnel

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const patience = 10 * time.Second

// tunnelled is a tunnel between two TCP connections, with the far ends of both.
type tunnelled struct {
	*Tunnel
	client, node *net.TCPConn
	ended        chan Ending
}

func pair(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dialled, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = dialled.Close(), accepted.Close() })
	_ = dialled.SetDeadline(time.Now().Add(patience))
	return accepted.(*net.TCPConn), dialled.(*net.TCPConn)
}

func open(t *testing.T, edit func(*Config)) *tunnelled {
	t.Helper()
	nearClient, client := pair(t)
	nearNode, node := pair(t)
	config := Config{Client: Side{Conn: nearClient}, Node: Side{Conn: nearNode}, Protocol: "websocket", Idle: patience}
	edit(&config)
	tunnel := &tunnelled{Tunnel: New(config), client: client, node: node, ended: make(chan Ending, 1)}
	var running sync.WaitGroup
	running.Go(func() {
		ending := tunnel.Run()
		tunnel.Part()
		_ = nearClient.Close()
		tunnel.ended <- ending
	})
	t.Cleanup(func() {
		tunnel.End(Closed)
		running.Wait()
	})
	return tunnel
}

func (t *tunnelled) await(test *testing.T) Ending {
	test.Helper()
	select {
	case ending := <-t.ended:
		return ending
	case <-time.After(patience):
		test.Fatal("the tunnel does not end")
		return Closed
	}
}

func send(t *testing.T, conn net.Conn, octets []byte) {
	t.Helper()
	if _, err := conn.Write(octets); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, conn net.Conn, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("got %q, %v, want %q", got, err, want)
	}
}

func expectEnd(t *testing.T, conn net.Conn) {
	t.Helper()
	if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 {
		t.Fatalf("got %q, %v, want the end", rest, err)
	}
}

// TestBothWays: octets that came early are first, and much arrives as it was sent while the other way does too.
func TestBothWays(t *testing.T) {
	tunnel := open(t, func(c *Config) {
		c.Client.Early, c.Node.Early, c.Protocol = []byte("early up "), []byte("early down "), "chat"
	})
	const size = 1 << 19
	up, down := bytes.Repeat([]byte("up"), size), bytes.Repeat([]byte("down"), size)
	var sending sync.WaitGroup
	for conn, octets := range map[*net.TCPConn][]byte{tunnel.client: up, tunnel.node: down} {
		sending.Go(func() {
			_, _ = conn.Write(octets)
			_ = conn.CloseWrite()
		})
	}
	for conn, want := range map[*net.TCPConn]string{tunnel.client: "early down " + string(down), tunnel.node: "early up " + string(up)} {
		sending.Go(func() {
			if got, err := io.ReadAll(conn); err != nil || string(got) != want {
				t.Errorf("%d octets, %v, want %d", len(got), err, len(want))
			}
		})
	}
	sending.Wait()
	if ending := tunnel.await(t); ending != Closed {
		t.Errorf("ended as %v", ending)
	}
}

// TestHalfClosed: who has said all may still listen.
func TestHalfClosed(t *testing.T) {
	tunnel := open(t, func(c *Config) { c.Protocol = "chat" })
	send(t, tunnel.client, []byte("question"))
	_ = tunnel.client.CloseWrite()
	if got, err := io.ReadAll(tunnel.node); string(got) != "question" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	send(t, tunnel.node, []byte("answer"))
	expect(t, tunnel.client, []byte("answer"))
	_ = tunnel.node.Close()
	expectEnd(t, tunnel.client)
	tunnel.await(t)
}

// TestGone: a side that is gone takes the other with it.
func TestGone(t *testing.T) {
	for _, protocol := range []string{"websocket", "chat"} {
		for _, which := range []string{"client", "node"} {
			tunnel := open(t, func(c *Config) { c.Protocol = protocol })
			gone, left := tunnel.client, tunnel.node
			if which == "node" {
				gone, left = left, gone
			}
			send(t, gone, []byte("x"))
			expect(t, left, []byte("x"))
			_ = gone.SetLinger(0) // a reset
			_ = gone.Close()
			if _, err := io.ReadAll(left); err != nil {
				t.Errorf("%s, the %s gone: %v", protocol, which, err)
			}
			if ending := tunnel.await(t); ending != Closed {
				t.Errorf("%s, the %s gone: %v", protocol, which, ending)
			}
		}
	}
}

// TestMovedBetweenFrames: a client is told so behind whole frames, all that the node says before it ends its side,
// but not its own farewell. A node that does not end it is not waited for.
func TestMovedBetweenFrames(t *testing.T) {
	whole := frame(2, 300, false)
	f := func(cut int, ends bool, farewell []byte) {
		t.Helper()
		tunnel := open(t, func(*Config) {})
		send(t, tunnel.node, whole[:cut])
		expect(t, tunnel.client, whole[:cut])
		tunnel.End(Moved)
		expectEnd(t, tunnel.node)
		send(t, tunnel.node, append(append(whole[cut:], whole...), farewell...))
		if ends {
			_ = tunnel.node.Close()
		}
		expect(t, tunnel.client, append(whole[cut:], whole...))
		expect(t, tunnel.client, []byte("\x88\x07\x03\xf4moved"))
		expectEnd(t, tunnel.client)
		_ = tunnel.client.Close()
		if ending := tunnel.await(t); ending != Moved {
			t.Errorf("cut at %d: ended as %v", cut, ending)
		}
	}
	for _, cut := range []int{0, 1, 3, 100, len(whole)} {
		f(cut, true, nil)
	}
	f(7, false, nil)
	f(7, true, closeFrame(1000, "bye"))
	f(7, false, closeFrame(1000, ""))
}

// starved is a connection whose reader comes to run late, when it has read and when a deadline has passed.
type starved struct {
	*net.TCPConn
	read chan struct{} // gets a token of each read that brought something
}

func (s starved) Read(p []byte) (int, error) {
	n, err := s.TCPConn.Read(p)
	if n > 0 {
		s.read <- struct{}{}
	}
	if n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		time.Sleep(2 * endWait)
	}
	return n, err
}

// TestMovedOnABusyMachine: the client is told however late the tunnel comes to it, and has all that came before.
func TestMovedOnABusyMachine(t *testing.T) {
	read := make(chan struct{}, 1)
	tunnel := open(t, func(c *Config) { c.Node.Conn = starved{c.Node.Conn.(*net.TCPConn), read} })
	said := frame(1, 5, false)
	send(t, tunnel.node, said)
	<-read
	tunnel.End(Moved)
	expect(t, tunnel.client, append(said, "\x88\x07\x03\xf4moved"...))
	expectEnd(t, tunnel.client)
}

// TestMovedWithoutWords: where no frame may stand the connection just ends.
func TestMovedWithoutWords(t *testing.T) {
	f := func(protocol string, octets []byte) {
		t.Helper()
		tunnel := open(t, func(c *Config) { c.Protocol = protocol })
		send(t, tunnel.node, octets)
		expect(t, tunnel.client, octets)
		began := time.Now()
		tunnel.End(Moved)
		expectEnd(t, tunnel.client)
		if took := time.Since(began); took > time.Second {
			t.Errorf("%s %q: it took %v", protocol, octets, took)
		}
		_ = tunnel.client.Close()
		tunnel.await(t)
	}
	f("chat", []byte("hello"))
	f("websocket", closeFrame(1000, "bye"))  // it was told already
	f("websocket", frame(1, 300, false)[:9]) // the rest never comes
	f("WebSocket", []byte{0x82, 127, 0xFF, 0, 0, 0, 0, 0, 0, 0})
}

// TestIdle: a tunnel ends when nothing moves, and lives on while something does, in whichever direction.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nearClient, client := net.Pipe()
		nearNode, node := net.Pipe()
		const idle = time.Minute
		tunnel := New(Config{Client: Side{Conn: nearClient}, Node: Side{Conn: nearNode}, Protocol: "websocket", Idle: idle})
		ended := make(chan Ending, 1)
		go func() { ended <- tunnel.Run() }()
		for range 6 {
			send(t, client, []byte("."))
			expect(t, node, []byte("."))
			time.Sleep(idle - time.Second) // the silence that is tested
		}
		expect(t, client, []byte("\x88\x06\x03\xe9idle"))
		if ending := <-ended; ending != Idle {
			t.Errorf("ended as %v", ending)
		}
	})
}

// TestStuck: a client that reads nothing does not hold the node's octets for ever, nor the end.
func TestStuck(t *testing.T) {
	f := func(idle time.Duration, end bool) {
		t.Helper()
		tunnel := open(t, func(c *Config) { c.Idle, c.Protocol = idle, "chat" })
		var sending sync.WaitGroup
		sending.Go(func() {
			_, err := tunnel.node.Write(bytes.Repeat([]byte("x"), 64<<20))
			if err == nil && !end { // what is ended listens to the rest for a moment
				t.Error("the node is rid of all of it")
			}
		})
		if end {
			time.AfterFunc(50*time.Millisecond, func() { tunnel.End(Leaving) })
		}
		tunnel.await(t)
		sending.Wait()
	}
	f(100*time.Millisecond, false)
	f(patience, true)
}

func TestCloseFrameIsShort(t *testing.T) {
	if got := closeFrame(1012, strings.Repeat("x", 1000)); len(got) != frameHead+controlMax {
		t.Errorf("%d octets", len(got))
	}
}
