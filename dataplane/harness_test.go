package dataplane

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// patience bounds every wait of a test.
const patience = 10 * time.Second

// quiet is the silence after which an answer is taken to be over.
const quiet = 300 * time.Millisecond

// testRules are the key rules of the tests' cluster.
var testRules = []string{"header:X-Shard-Key", "path:/kv/{key}", "query:tenant"}

// ringOf makes the view of a ring where slot s is held by node s mod n, at an epoch, all of them up
// unless said otherwise.
func ringOf(t testing.TB, number uint64, epoch api.Epoch, nodes ...ring.Node) *ring.View {
	t.Helper()
	return viewOf(t, number, func(table *ring.Table) {
		table.Nodes = nodes
		for slot := range table.Epochs {
			if len(nodes) > 0 {
				table.Epochs[slot] = epoch
				table.Owners[slot] = ring.NodeIndex(slot % len(nodes))
			}
		}
	}, func(*api.Settings) {})
}

func viewOf(t testing.TB, number uint64, edit func(*ring.Table), set func(*api.Settings)) *ring.View {
	t.Helper()
	table := ring.NewTable(api.ClusterID(strings.Repeat("c1", 16)), 8, 1)
	table.Version = api.Version{Generation: 1, Number: number}
	table.Previous = number - 1
	edit(table)
	settings := api.Settings{
		Service: "test", State: api.StateNone, Keys: testRules, NoKey: api.NoKeyReject,
		SlotBits: 8, Replicas: 1, Hash: api.HashSipHash24, HashKey: strings.Repeat("0f", 16),
	}
	set(&settings)
	view, err := ring.NewView(settings, table)
	if err != nil {
		t.Fatal(err)
	}
	return view
}

func up(id, address string) ring.Node {
	return ring.Node{ID: api.NodeID(id), Address: address, Status: ring.StatusUp}
}

// fakeControl is a control plane in memory.
type fakeControl struct {
	mu      sync.Mutex
	view    *ring.View
	changed chan struct{}
	beats   []api.ProxyBeat
	beaten  chan struct{} // a token for each beat, as far as it has room
}

func newFakeControl(view *ring.View) *fakeControl {
	return &fakeControl{view: view, changed: make(chan struct{}), beaten: make(chan struct{}, 1024)}
}

func (c *fakeControl) now() (*ring.View, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.view, c.changed
}

// publish makes another view the newest.
func (c *fakeControl) publish(view *ring.View) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.view = view
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *fakeControl) Ring(context.Context) (*ring.View, error) {
	view, _ := c.now()
	if view == nil {
		return nil, errors.New("no member answers")
	}
	return view, nil
}

func (c *fakeControl) Watch(ctx context.Context, have *ring.View, onView func(*ring.View)) error {
	for {
		view, changed := c.now()
		if view != nil && (have == nil || view.Table.Version.Compare(have.Table.Version) > 0) {
			have = view
			onView(view)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *fakeControl) ProxyBeat(_ context.Context, _ api.ProxyID, beat api.ProxyBeat) (api.ProxyBeaten, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.beats = append(c.beats, beat)
	select {
	case c.beaten <- struct{}{}:
	default:
	}
	return api.ProxyBeaten{Version: beat.Version}, nil
}

func (c *fakeControl) Close() {}

// heard are the beats so far.
func (c *fakeControl) heard() []api.ProxyBeat {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.beats)
}

// awaitBeat waits for a beat that satisfies a condition.
func (c *fakeControl) awaitBeat(t *testing.T, want func(api.ProxyBeat) bool) {
	t.Helper()
	deadline := time.After(patience)
	for seen := 0; ; {
		c.mu.Lock()
		beats := c.beats[seen:]
		seen = len(c.beats)
		c.mu.Unlock()
		for _, beat := range beats {
			if want(beat) {
				return
			}
		}
		select {
		case <-c.beaten:
		case <-deadline:
			t.Fatal("the beat waited for did not come")
		}
	}
}

// start opens a proxy over a ring and closes it with the test. It says nothing of requests' ways unless
// asked to: what tests compare octet by octet is what came.
func start(t testing.TB, view *ring.View, edit ...func(*Config)) (*Proxy, *fakeControl) {
	t.Helper()
	fake := newFakeControl(view)
	config := NewConfig()
	config.ID, config.Listen, config.AdminListen = "p1", "127.0.0.1:0", "127.0.0.1:0"
	config.Trail = TrailConfig{}
	config.Mux = MuxOff // most nodes of these tests are scripts of octets
	for _, change := range edit {
		change(&config)
	}
	if config.Logger == nil {
		config.Logger = discard
	}
	proxy, err := open(config, fake)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := proxy.Close(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("cannot close: %v", err)
		}
	})
	return proxy, fake
}

// received is one request as a node got it.
type received struct {
	raw  string
	body string
	err  error // the body was cut short
}

// rawNode is a node that records the octets of each request and answers with scripted octets.
type rawNode struct {
	listener net.Listener
	requests chan received
	serving  sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]int // requests on each connection
}

// script answers the nth request of a connection, counted from 0. It may write whatever it likes;
// false closes the connection.
type script func(conn net.Conn, n int, request received) bool

// answer is the script of a node that answers each request with the same octets.
func answer(octets string) script {
	return func(conn net.Conn, _ int, _ received) bool {
		_, err := io.WriteString(conn, octets)
		return err == nil
	}
}

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func startNode(t testing.TB, script script) *rawNode {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &rawNode{listener: listener, requests: make(chan received, 1024), conns: make(map[net.Conn]int)}
	n.serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			n.track(conn, true)
			n.serving.Go(func() { n.serve(conn, script) })
		}
	})
	t.Cleanup(n.stop)
	return n
}

func (n *rawNode) address() string { return n.listener.Addr().String() }

func (n *rawNode) stop() {
	_ = n.listener.Close()
	n.mu.Lock()
	for conn := range n.conns {
		_ = conn.Close()
	}
	n.mu.Unlock()
	n.serving.Wait()
}

func (n *rawNode) track(conn net.Conn, open bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if open {
		n.conns[conn] = 0
	} else {
		delete(n.conns, conn)
	}
}

func (n *rawNode) connections() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.conns)
}

func (n *rawNode) serve(conn net.Conn, script script) {
	defer n.track(conn, false)
	defer func() { _ = conn.Close() }()
	var raw bytes.Buffer
	reader := bufio.NewReader(io.TeeReader(conn, &raw))
	for i := 0; ; i++ {
		request, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		body, err := io.ReadAll(request.Body)
		got := received{raw: raw.String(), body: string(body), err: err}
		raw.Reset()
		n.requests <- got
		if err != nil || !script(conn, i, got) {
			return
		}
	}
}

// next waits for the next request.
func (n *rawNode) next(t *testing.T) received {
	t.Helper()
	select {
	case request := <-n.requests:
		return request
	case <-time.After(patience):
		t.Fatal("the node got no request")
		return received{}
	}
}

// none asserts that no request has reached the node.
func (n *rawNode) none(t *testing.T) {
	t.Helper()
	select {
	case request := <-n.requests:
		t.Errorf("the node got %q", request.raw)
	default:
	}
}

// dial connects a client.
func dial(t testing.TB, proxy *Proxy) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", proxy.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// talk sends octets and returns all that comes until the proxy closes the connection, or is quiet for
// a moment.
func talk(t testing.TB, proxy *Proxy, octets string) (got string, closed bool) {
	t.Helper()
	conn := dial(t, proxy)
	if _, err := io.WriteString(conn, octets); err != nil {
		t.Fatal(err)
	}
	return listen(t, conn)
}

// listen reads until the other side closes, or is quiet; one that has said that it closes is waited for.
func listen(t testing.TB, conn net.Conn) (got string, closed bool) {
	t.Helper()
	var all []byte
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	for buffer := make([]byte, 32<<10); ; {
		n, err := conn.Read(buffer)
		all = append(all, buffer[:n]...)
		if err != nil {
			return string(all), err == io.EOF
		}
		pause := quiet
		if bytes.Contains(all, []byte("\r\nConnection: close\r\n")) {
			pause = patience
		}
		_ = conn.SetReadDeadline(time.Now().Add(pause))
	}
}

// ask sends octets and reads one answer with net/http's parser.
func ask(t testing.TB, proxy *Proxy, octets string) (*http.Response, string) {
	t.Helper()
	conn := dial(t, proxy)
	if _, err := io.WriteString(conn, octets); err != nil {
		t.Fatal(err)
	}
	return readAnswer(t, bufio.NewReader(conn))
}

func readAnswer(t testing.TB, reader *bufio.Reader) (*http.Response, string) {
	t.Helper()
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

// stamps are the header lines the proxy adds for a key.
func stamps(view *ring.View, key string) string {
	slot, epoch, _, _ := view.Locate([]byte(key))
	return fmt.Sprintf("Stead-Key: %s\r\nStead-Slot: %d\r\nStead-Epoch: %d\r\n", api.EncodeKey([]byte(key)), slot, epoch)
}

// keyAt is a key that a node holds.
func keyAt(view *ring.View, node string) string {
	for i := 0; ; i++ {
		key := fmt.Sprint("k", i)
		if _, _, holder, _ := view.Locate([]byte(key)); holder.ID == api.NodeID(node) {
			return key
		}
	}
}

// until waits for a condition.
func until(t testing.TB, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !met(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come about", what)
		}
		time.Sleep(time.Millisecond)
	}
}
