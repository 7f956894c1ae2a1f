package heir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// role says what the test program, started by itself, is to do as an heir.
const role = "HEIR_TEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(role) == "" {
		os.Exit(m.Run())
	}
	heir, err := Inherit()
	if err != nil || heir == nil {
		fmt.Fprintln(os.Stderr, "it inherits nothing:", err)
		os.Exit(1)
	}
	switch os.Getenv(role) {
	case "serve":
		serve(heir)
	case "fail":
		heir.Fails(errors.New("the port is on fire"))
	case "hang":
		time.Sleep(time.Hour)
	}
}

// serve answers one caller with what it was left.
func serve(heir *Heir) {
	door, err := net.FileListener(heir.Clients)
	if err != nil {
		heir.Fails(err)
		return
	}
	_ = heir.Serves()
	conn, err := door.Accept()
	if err != nil {
		return
	}
	again, err := Inherit()
	_, _ = fmt.Fprint(conn, heir.ID, " ", heir.Listen, " ", heir.PID == os.Getppid(), " ", heir.Admin.Name(), " ", again, " ", err)
	_ = conn.Close()
}

// start has this program start itself.
func start(t *testing.T, ctx context.Context, what string) (door net.Listener, pid int, err error) {
	t.Helper()
	t.Setenv(role, what)
	door, err = net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = door.Close() })
	socket, err := door.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.Close() }()
	pid, err = Start(ctx, os.Args[0], Will{PID: os.Getpid(), ID: "p1", Listen: "here", Clients: socket, Admin: socket})
	return door, pid, err
}

// TestHeirServes: the new process answers on the old one's socket.
func TestHeirServes(t *testing.T) {
	door, pid, err := start(t, t.Context(), "serve")
	if err != nil || pid == 0 {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", door.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	got, err := io.ReadAll(conn)
	if want := "p1 here true admin <nil> <nil>"; err != nil || string(got) != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if process, err := os.FindProcess(pid); err == nil {
		_, _ = process.Wait()
	}
}

// TestHeirFails: whatever becomes of the new process, the old one hears of it, and it is gone.
func TestHeirFails(t *testing.T) {
	if _, _, err := start(t, t.Context(), "fail"); err == nil || !strings.Contains(err.Error(), "the port is on fire") {
		t.Errorf("got %v", err)
	}
	if _, _, err := start(t, t.Context(), "end"); err == nil || !strings.Contains(err.Error(), "ended before it served") {
		t.Errorf("got %v", err)
	}
	stopped := errors.New("told to stop")
	ctx, stop := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { stop(stopped) })
	if _, _, err := start(t, ctx, "hang"); !errors.Is(err, stopped) {
		t.Errorf("got %v", err)
	}
	if _, err := Start(t.Context(), filepath.Join(t.TempDir(), "none"), Will{Clients: os.Stdin, Admin: os.Stdin}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestWithoutPredecessor(t *testing.T) {
	if heir, err := Inherit(); heir != nil || err != nil {
		t.Errorf("%v, %v", heir, err)
	}
}

func TestAnnounce(t *testing.T) {
	if err := Announce(); err != nil {
		t.Error(err)
	}
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.Close() }()
	t.Setenv("NOTIFY_SOCKET", path)
	if err := Announce(); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 100)
	n, err := socket.Read(got)
	if want := fmt.Sprintf("READY=1\nMAINPID=%d", os.Getpid()); err != nil || string(got[:n]) != want {
		t.Errorf("systemd hears %q, %v", got[:n], err)
	}
}
