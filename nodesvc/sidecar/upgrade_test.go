package sidecar

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// movingControl is a fakeControl whose ring changes.
type movingControl struct {
	*fakeControl
	next chan *ring.View
}

func (c movingControl) Watch(ctx context.Context, _ *ring.View, onView func(*ring.View)) error {
	onView(c.view)
	for {
		select {
		case view := <-c.next:
			onView(view)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// away is the ring after the node has given up all its slots.
func (c movingControl) away(t *testing.T) *ring.View {
	t.Helper()
	old := c.view.Table
	table := ring.NewTable(old.Cluster, old.Bits, 1)
	table.Version = api.Version{Generation: 1, Number: 2}
	table.Nodes = append(append([]ring.Node{}, old.Nodes...), ring.Node{ID: "n1", Address: "127.0.0.1:2", Status: ring.StatusUp})
	for slot := range table.Epochs {
		table.Epochs[slot], table.Owners[slot] = 6, 1
	}
	view, err := ring.NewView(c.view.Settings, table)
	if err != nil {
		t.Fatal(err)
	}
	return view
}

// beforeRaw opens a registered sidecar before a service that does as it likes with connections that are not for
// its health.
func beforeRaw(t *testing.T, serve func(conn net.Conn, request *http.Request, reader *bufio.Reader)) (*Sidecar, movingControl) {
	t.Helper()
	service, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := service.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				reader := bufio.NewReader(conn)
				request, err := http.ReadRequest(reader)
				switch {
				case err != nil:
				case request.URL.Path == HealthPathDefault && request.Header.Get("X-Raw") == "":
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
				default:
					serve(conn, request, reader)
				}
			}()
		}
	}()
	t.Cleanup(func() { _ = service.Close() })
	control := movingControl{newFakeControl(), make(chan *ring.View)}
	config := testConfig(nil, service.Addr().String())
	config.Node.ControlPlane = control
	sidecar := openSidecar(t, config)
	control.await(t, "beat")
	return sidecar, control
}

const agrees = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"

func connect(t *testing.T, sidecar *Sidecar, octets string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", sidecar.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	tell(t, conn, octets)
	return conn
}

func tell(t *testing.T, conn net.Conn, octets string) {
	t.Helper()
	if _, err := io.WriteString(conn, octets); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, conn net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Fatalf("heard %q, %v, want %q", got[:n], err, want)
	}
}

const asks = " HTTP/1.1\r\nHost: h\r\nStead-Key: acme\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n"

// TestTunnel: the service is asked for what the client asked for, no octet is lost, and the tunnel ends with the
// slot's time on this node.
func TestTunnel(t *testing.T) {
	asked, ended := make(chan *http.Request, 1), make(chan error, 1)
	sidecar, control := beforeRaw(t, func(conn net.Conn, request *http.Request, reader *bufio.Reader) {
		asked <- request
		_, _ = io.WriteString(conn, agrees+"Stead-Owner: mallory\r\n\r\nearly down")
		_, err := io.Copy(conn, reader)
		ended <- err
	})
	conn := connect(t, sidecar, "GET /a%2Fb?c"+asks+"\r\nearly up")
	hear(t, conn, agrees+"\r\nearly down"+"early up")
	if got := <-asked; got.RequestURI != "/a%2Fb?c" || got.Host != "h" || got.Header.Get("Upgrade") != "websocket" || got.Header.Get("User-Agent") != "" {
		t.Errorf("the service was asked %+v", got)
	}
	if open := sidecar.tunnels.open.Load(); open != 1 {
		t.Errorf("%d tunnels are open", open)
	}
	control.next <- control.away(t)
	if err := <-ended; err != nil {
		t.Errorf("the service's end: %v", err)
	}
	if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 {
		t.Errorf("heard %q, %v", rest, err) // where no frame ended nothing is said
	}
}

// TestTunnelMoves: a client is told that its slot has moved, between two frames.
func TestTunnelMoves(t *testing.T) {
	sidecar, control := beforeRaw(t, func(conn net.Conn, _ *http.Request, reader *bufio.Reader) {
		_, _ = io.WriteString(conn, agrees+"\r\n")
		_, _ = io.Copy(conn, reader)
	})
	conn := connect(t, sidecar, "GET /"+asks+"\r\n\x81\x02hi")
	hear(t, conn, agrees+"\r\n\x81\x02hi")
	control.next <- control.away(t)
	hear(t, conn, "\x88\x07\x03\xf4moved")
	if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 {
		t.Errorf("heard %q, %v", rest, err)
	}
	_ = conn.Close()
	if got := get(t, sidecar.Addr(), "/"); got.status != http.StatusMisdirectedRequest {
		t.Errorf("%+v", got)
	}
}

// TestTunnelsEndWithTheSidecar: they do not hold it up.
func TestTunnelsEndWithTheSidecar(t *testing.T) {
	sidecar, _ := beforeRaw(t, func(conn net.Conn, _ *http.Request, reader *bufio.Reader) {
		_, _ = io.WriteString(conn, agrees+"\r\n")
		_, _ = io.Copy(conn, reader)
	})
	conn := connect(t, sidecar, "GET /"+asks+"\r\n")
	hear(t, conn, agrees+"\r\n")
	began := time.Now()
	closeSidecar(t, sidecar)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	hear(t, conn, "\x88\x07\x03\xf4moved")
}

// TestNoTunnel: other answers are ordinary ones; what may not be asked for is not, nor anything of the health check.
func TestNoTunnel(t *testing.T) {
	sidecar, _ := beforeRaw(t, func(conn net.Conn, request *http.Request, _ *bufio.Reader) {
		body := fmt.Sprint(request.Header["Upgrade"], request.Header["Connection"])
		switch request.URL.Path {
		case "/other":
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
			_, _ = io.Copy(io.Discard, conn)
		default:
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		}
	})
	f := func(octets string, status int, body string) {
		t.Helper()
		reader := bufio.NewReader(connect(t, sidecar, octets))
		got, err := http.ReadResponse(reader, nil)
		for err == nil && got.StatusCode == http.StatusEarlyHints {
			got, err = http.ReadResponse(reader, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		if content, _ := io.ReadAll(got.Body); got.StatusCode != status || !strings.Contains(string(content), body) {
			t.Errorf("%q: %s %s, want %d %s", octets, got.Status, content, status, body)
		}
	}
	f("GET /"+asks+"\r\n", 403, "[websocket] [Upgrade]")
	f("GET / HTTP/1.1\r\nHost: h\r\nStead-Key: acme\r\nConnection: Upgrade\r\nUpgrade: h2c, stead-mux/1\r\n\r\n", 403, "[] []")
	f("GET / HTTP/1.1\r\nHost: h\r\nStead-Key: acme\r\nUpgrade: websocket\r\n\r\n", 403, "[] []")
	f("GET "+HealthPathDefault+" HTTP/1.1\r\nHost: h\r\nX-Raw: 1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 403, "[] []")
	f("POST /"+asks+"Content-Length: 2\r\n\r\nhi", 501, "upgrade_unsupported")
	f("GET /other"+asks+"\r\n", 502, "owner_failed")
}
