package accesslog

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

func open(t *testing.T, config Config) *Log {
	t.Helper()
	if config.Format == "" {
		config.Format = JSON
	}
	log, err := Open(config, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeLog(t, log) })
	return log
}

func closeLog(t *testing.T, log *Log) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := log.Close(ctx); err != nil {
		t.Error(err)
	}
}

// slow is an output that writes when it is let, and fails if told to.
type slow struct {
	bytes.Buffer
	writing chan struct{} // a token for each write that begins
	let     chan error    // what each write returns
}

// errNothing fails a write before its first octet.
var errNothing = errors.New("nothing is written")

func newSlow() *slow { return &slow{writing: make(chan struct{}, 100), let: make(chan error, 100)} }

func (s *slow) Write(p []byte) (int, error) {
	s.writing <- struct{}{}
	if err := <-s.let; err != nil {
		if err == errNothing {
			return 0, err
		}
		n, _ := s.Buffer.Write(p[:len(p)/2])
		return n, err
	}
	return s.Buffer.Write(p)
}

func TestLinesAreWritten(t *testing.T) {
	var output bytes.Buffer
	log := open(t, Config{Output: &output})
	var adders sync.WaitGroup
	for range 4 {
		adders.Go(func() {
			for range 1000 {
				log.Add([]byte("one\ntwo\n"))
			}
		})
	}
	adders.Wait()
	closeLog(t, log)
	if got := output.String(); got != strings.Repeat("one\ntwo\n", 4000) || log.Dropped().Load() != 0 {
		t.Errorf("%d octets were written, %d lines dropped", len(got), log.Dropped().Load())
	}
}

// TestNobodyWaits: while the output stands still lines are taken until the buffer is full, then dropped.
func TestNobodyWaits(t *testing.T) {
	output := newSlow()
	log := open(t, Config{Output: output})
	log.Add([]byte("first\n"))
	<-output.writing
	line := []byte(strings.Repeat("x", 1023) + "\n")
	for range bufferMax/len(line) + 10 {
		log.Add(line)
	}
	if log.Dropped().Load() != 10 {
		t.Errorf("%d lines were dropped", log.Dropped().Load())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := log.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("closed while a write hangs: %v", err)
	}
	close(output.let)
	closeLog(t, log)
	if got := output.Len(); got != len("first\n")+bufferMax {
		t.Errorf("%d octets were written", got)
	}
}

// TestFailedWrites: what could not be written is counted, and a line cut short is ended before the next.
func TestFailedWrites(t *testing.T) {
	output := newSlow()
	log := open(t, Config{Output: output})
	log.Add([]byte("a23456789\nb23456789\nc23456789\n"))
	output.let <- errors.New("the disk is full")
	<-output.writing
	close(output.let)
	log.Add([]byte("d\n"))
	closeLog(t, log)
	if got := output.String(); got != "a23456789\nb2345\nd\n" || log.Dropped().Load() != 2 {
		t.Errorf("written %q, %d dropped", got, log.Dropped().Load())
	}
}

// TestTornLine: a line cut short is ended before the next one also where the disk was still full in between.
func TestTornLine(t *testing.T) {
	output := newSlow()
	log := open(t, Config{Output: output})
	log.Add([]byte("a23456789\n"))
	output.let <- errors.New("the disk is full")
	<-output.writing
	log.Add([]byte("b23456789\n"))
	output.let <- errNothing
	<-output.writing
	close(output.let)
	log.Add([]byte("c\n"))
	closeLog(t, log)
	if got := output.String(); got != "a2345\nc\n" || log.Dropped().Load() != 2 {
		t.Errorf("written %q, %d dropped", got, log.Dropped().Load())
	}
}

// TestPipeWithoutReader: nobody waits for one, neither at the start nor when the log is opened anew.
func TestPipeWithoutReader(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	opened := make(chan error, 1)
	go func() {
		_, err := Open(Config{Format: JSON, File: pipe}, slog.New(slog.DiscardHandler))
		opened <- err
	}()
	select {
	case err := <-opened:
		if err == nil || !strings.Contains(err.Error(), "nobody reads") {
			t.Errorf("got %v", err)
		}
	case <-time.After(patience):
		t.Fatal("it waits for a reader")
	}
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	log := open(t, Config{File: path})
	read := func(path, want string) {
		t.Helper()
		for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			got, err := os.ReadFile(path)
			if string(got) == want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s holds %q, want %q (%v)", path, got, want, err)
			}
		}
	}
	log.Add([]byte("one\n"))
	read(path, "one\n")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := log.Reopen(); err != nil {
			t.Fatal(err)
		}
	}
	log.Add([]byte("two\n"))
	read(path, "two\n")
	read(path+".1", "one\n")
	// A file that cannot be opened leaves the one there is.
	if err := errors.Join(os.Rename(path, path+".2"), os.Mkdir(path, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := log.Reopen(); err == nil {
		t.Error("a folder was opened for a log")
	}
	log.Add([]byte("three\n"))
	closeLog(t, log)
	read(path+".2", "two\nthree\n")
}

func TestWants(t *testing.T) {
	f := func(sample float64, status, least, most int) {
		t.Helper()
		log := open(t, Config{Sample: sample})
		count := 0
		for range 10000 {
			if log.Wants(status) {
				count++
			}
		}
		if count < least || count > most {
			t.Errorf("of 10000 requests with %d %d get a line at %v", status, count, sample)
		}
	}
	f(1, 200, 10000, 10000)
	f(0, 200, 0, 0)
	f(0, 503, 10000, 10000)
	f(.1, 200, 700, 1300) // ten standard deviations
	f(.1, 500, 10000, 10000)
}

func TestOpenRefuses(t *testing.T) {
	for _, bad := range []Config{{Format: "xml"}, {Format: JSON, Sample: 1.1}, {Format: JSON, Sample: -1}, {Format: Off, File: "f"}} {
		if bad.Validate() == nil {
			t.Errorf("%+v can stand", bad)
		}
	}
	if log, err := Open(Config{Format: JSON, File: t.TempDir()}, nil); err == nil || log != nil {
		t.Error("a folder was opened for a log")
	}
	if log, err := Open(Config{Format: Off}, nil); err != nil || log != nil {
		t.Errorf("%v, %v", log, err)
	}
}
