package httpapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/fsm"
)

// played is a member whose state a test makes, without Raft.
type played struct {
	Control // what the tests do not call
	t       *testing.T

	mu      sync.Mutex
	state   *fsm.State
	changed chan struct{}
	cutOff  bool
}

func newPlayed(t *testing.T, level int) *played {
	p := &played{t: t, state: fsm.New(), changed: make(chan struct{})}
	p.apply(fsm.Bootstrap{Cluster: "00112233445566778899aabbccddeeff", Level: level, Settings: api.Settings{
		Service: "kv", State: api.StateNone, Keys: []string{"header:X-Shard-Key"}, NoKey: api.NoKeyReject,
		SlotBits: api.SlotBitsMin, Replicas: 1, Hash: api.HashSipHash24, HashKey: strings.Repeat("5a", 16),
	}})
	return p
}

func (p *played) State() *fsm.State    { p.mu.Lock(); defer p.mu.Unlock(); return p.state }
func (p *played) InTouch() bool        { p.mu.Lock(); defer p.mu.Unlock(); return !p.cutOff }
func (p *played) IsLeader() bool       { return true }
func (p *played) Leader() api.MemberID { return "c1" }

func (p *played) Linearize(context.Context) error { return nil }

func (p *played) Changed() <-chan struct{} { p.mu.Lock(); defer p.mu.Unlock(); return p.changed }

func (p *played) apply(command fsm.Command) {
	p.t.Helper()
	if _, err := p.Propose(p.t.Context(), fsm.By("ann"), command); err != nil {
		p.t.Fatal(err)
	}
}

// Propose applies a command as a leader would.
func (p *played) Propose(_ context.Context, origin fsm.Origin, command fsm.Command) (fsm.Result, error) {
	entry, err := fsm.Encode(fsm.At(time.Now(), origin), command)
	if err != nil {
		return fsm.Result{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	next, result, err := fsm.Apply(p.state, p.state.Index+1, entry)
	if err == nil && result.Problem != nil {
		err = result.Problem
	}
	if err != nil {
		return fsm.Result{}, err
	}
	p.state = next
	close(p.changed)
	p.changed = make(chan struct{})
	return result, nil
}

func (p *played) register(id string, port int) {
	p.apply(fsm.Register{Registration: api.Registration{ID: api.NodeID(id), Address: fmt.Sprintf("127.0.0.1:%d", port)}.WithDefaults()})
}

// pipes is a listener whose connections hold no octet that nobody reads.
type pipes struct {
	made   chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{made: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.made:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// streaming runs a server over pipes in a bubble of synthetic time.
func streaming(t *testing.T, level int, test func(t *testing.T, p *played, s *Server, ask func(path string, headers ...string) (*http.Response, net.Conn))) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlayed(t, level)
		s := New(Config{Control: p, Logger: slog.New(slog.DiscardHandler)})
		listener := newPipes()
		defer func() { _ = s.HTTP().Close() }()
		go func() { _ = s.HTTP().Serve(listener) }()
		go s.Run(t.Context())
		synctest.Wait()
		test(t, p, s, func(path string, headers ...string) (*http.Response, net.Conn) {
			near, far := net.Pipe()
			listener.made <- far
			t.Cleanup(func() { _ = near.Close() })
			fmt.Fprintf(near, "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", path, strings.Join(append(headers, ""), "\r\n"))
			response, err := http.ReadResponse(bufio.NewReader(near), nil)
			if err != nil {
				t.Fatal(err)
			}
			return response, near
		})
	})
}

// next reads one block of a stream: its lines up to an empty one.
func next(t *testing.T, from *bufio.Reader) string {
	t.Helper()
	var block strings.Builder
	for {
		line, err := from.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream ended: %v behind %q", err, block.String())
		}
		if line == "\n" {
			return block.String()
		}
		block.WriteString(line)
	}
}

func wantBlock(t *testing.T, from *bufio.Reader, id, event, inData string) {
	t.Helper()
	block := next(t, from)
	if !strings.HasPrefix(block, "id: "+id+"\n") || event != "" && !strings.Contains(block, "\nevent: "+event+"\n") || !strings.Contains(block, inData) {
		t.Fatalf("got\n%swant %s %s with %s", block, id, event, inData)
	}
}

func TestEventStream(t *testing.T) {
	streaming(t, 2, func(t *testing.T, p *played, s *Server, ask func(string, ...string) (*http.Response, net.Conn)) {
		response, _ := ask("/v1/events")
		if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != api.TypeEvents {
			t.Fatalf("got %d %q", response.StatusCode, response.Header.Get("Content-Type"))
		}
		live := bufio.NewReader(response.Body)
		wantBlock(t, live, "1-1", "", "")
		p.register("n1", 1)
		wantBlock(t, live, "1-2-2", "change", `"cause":"register n1","actor":"ann"`)
		began := time.Now()
		if got := next(t, live); got != ": alive\n" || time.Since(began) > eventHeartbeat {
			t.Fatalf("after %v of silence: %q", time.Since(began), got)
		}
		p.register("n2", 2)
		wantBlock(t, live, "1-3-3", "change", `"cause":"register n2"`)

		back, _ := ask("/v1/events?after=0", "Last-Event-ID: 1-2-2")
		resumed := bufio.NewReader(back.Body)
		wantBlock(t, resumed, "1-2-2", "", "")
		wantBlock(t, resumed, "1-3-3", "change", "register n2")
		all, _ := ask("/v1/events?after=0")
		whole := bufio.NewReader(all.Body)
		wantBlock(t, whole, "1-0", "", "")
		wantBlock(t, whole, "1-1-1", "change", "bootstrap")

		p.mu.Lock()
		p.cutOff = true
		p.mu.Unlock()
		if got := next(t, live); !strings.HasPrefix(got, ": this member has lost touch") {
			t.Fatalf("cut off: %q", got)
		}
		if rest, err := io.ReadAll(live); err != nil || len(rest) > 0 {
			t.Fatalf("the stream of a member that is cut off goes on: %q, %v", rest, err)
		}
		if response, _ := ask("/v1/events"); response.StatusCode != http.StatusServiceUnavailable {
			t.Fatalf("a member that is cut off answers %d", response.StatusCode)
		}
	})
}

func TestEventStreamSaysWhatIsGone(t *testing.T) {
	streaming(t, 2, func(t *testing.T, p *played, s *Server, ask func(string, ...string) (*http.Response, net.Conn)) {
		register := func(port int) {
			p.apply(fsm.Register{Registration: api.Registration{ID: "n1", Address: fmt.Sprintf("127.0.0.1:%d", port), Nonce: "nonce"}})
		}
		register(1)
		p.apply(fsm.Hold{Changes: []api.ChangeID{2}}) // what waits to be answered would be kept
		for i := range 1005 {
			register(2 + i%2)
		}
		response, _ := ask("/v1/events?after=1-2-2")
		from := bufio.NewReader(response.Body)
		wantBlock(t, from, "1-2-2", "", "")
		wantBlock(t, from, "1-0", "reset", `"oldest":8`)
		wantBlock(t, from, "1-9-8", "change", `"id":8`)
	})
}

func TestEventStreamRefuses(t *testing.T) {
	f := func(level int, path, header string, status int) {
		t.Helper()
		streaming(t, level, func(t *testing.T, p *played, s *Server, ask func(string, ...string) (*http.Response, net.Conn)) {
			if response, _ := ask(path, header); response.StatusCode != status {
				t.Errorf("%s %s: got %d, want %d", path, header, response.StatusCode, status)
			}
		})
	}
	f(1, "/v1/events", "A: b", http.StatusNotImplemented)
	f(2, "/v1/events?after=x", "A: b", http.StatusBadRequest)
	f(2, "/v1/events", "Last-Event-ID: 1-", http.StatusBadRequest)
	f(2, "/v1/events?after=2-1", "A: b", http.StatusServiceUnavailable)
	f(2, "/v1/events?consistency=linearizable", "A: b", http.StatusBadRequest)
}

func TestEventStreamsAreBounded(t *testing.T) {
	streaming(t, 2, func(t *testing.T, p *played, s *Server, ask func(string, ...string) (*http.Response, net.Conn)) {
		var last net.Conn
		for range subscribersMax {
			_, last = ask("/v1/events")
		}
		if response, _ := ask("/v1/events"); response.StatusCode != http.StatusServiceUnavailable {
			t.Fatalf("reader %d: %d", subscribersMax+1, response.StatusCode)
		}
		_ = last.Close()
		synctest.Wait()
		if response, _ := ask("/v1/events"); response.StatusCode != http.StatusOK {
			t.Fatalf("after one left: %d", response.StatusCode)
		}
	})
}

// TestSlowReaderIsDropped: a reader that takes nothing holds up nobody, and loses its place in time.
func TestSlowReaderIsDropped(t *testing.T) {
	streaming(t, 2, func(t *testing.T, p *played, s *Server, ask func(string, ...string) (*http.Response, net.Conn)) {
		_, _ = ask("/v1/events") // and reads no further: a pipe holds nothing back
		quick, _ := ask("/v1/events")
		from := bufio.NewReader(quick.Body)
		next(t, from)
		began := time.Now()
		p.register("n1", 1)
		wantBlock(t, from, "1-2-2", "change", "register n1")
		if waited := time.Since(began); waited > 0 {
			t.Errorf("the slow reader cost another one %v", waited)
		}
		time.Sleep(eventWriteTimeout + time.Millisecond)
		synctest.Wait()
		if readers := len(s.subscribers); readers != 1 {
			t.Errorf("%d readers are left, want the quick one", readers)
		}
	})
}
