// Package accesslog writes a line for each request, or for a sample of them.
//
// It owns the lines' form, and the way from whoever answers requests to a file: a buffer that is full takes
// no more, and nobody waits for a disk. It does not own what is worth a line. Its invariants: a line is
// written whole and in one piece, or dropped and counted; nothing that a client sent ends a line or a
// string in it.
package accesslog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// bufferMax is how many octets of lines wait to be written; what finds no room is dropped.
	bufferMax = 1 << 20
	// gatherTime is how long lines are gathered to be written together, unless half of the buffer is full.
	gatherTime = 100 * time.Millisecond
	// warnEvery keeps a disk that is full from filling the log beside this one.
	warnEvery = 10 * time.Second
	fileMode  = 0o640
)

// Format is the form of lines.
type Format string

// Formats.
const (
	Off      Format = "off"
	JSON     Format = "json"
	Combined Format = "combined"
)

// Config of a Log.
type Config struct {
	Format Format
	// File is what is appended to. Empty: Output.
	File string
	// Output is written to where there is no file. Nil: standard output.
	Output io.Writer
	// Sample is the share of requests that get a line, from 0 to 1. Failures, 5xx, always get one.
	Sample float64
	// Keys leaves keys in targets, and Referer whole; without it neither shows keys.
	Keys bool
}

// Validate reports the first setting that cannot stand.
func (c Config) Validate() error {
	switch {
	case c.Format != Off && c.Format != JSON && c.Format != Combined:
		return fmt.Errorf("the access log is %s, %s or %s, not %q", Off, JSON, Combined, string(c.Format))
	case !(c.Sample >= 0 && c.Sample <= 1):
		return fmt.Errorf("the share of requests in the access log is from 0 to 1, not %v", c.Sample)
	case c.Format == Off && c.File != "":
		return errors.New("a file for the access log is of no use while that is off")
	}
	return nil
}

// Log takes lines. Its methods may be called by anybody at any time.
type Log struct {
	config  Config
	logger  *slog.Logger
	dropped atomic.Uint64

	mu      sync.Mutex
	filling []byte
	next    *os.File // goes in the place of file; nil: nothing does

	begun   chan struct{} // holds a token while there is something to write
	crowded chan struct{} // holds a token while half of the buffer is full
	stop    chan struct{}
	stopped chan struct{}
	once    sync.Once

	writer // for the goroutine that runs it alone
}

// Open starts a log; nil if it is off.
func Open(config Config, logger *slog.Logger) (*Log, error) {
	if config.Format == Off {
		return nil, nil
	}
	l := &Log{
		config: config, logger: logger, writer: writer{output: config.Output},
		begun: make(chan struct{}, 1), crowded: make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	if l.output == nil {
		l.output = os.Stdout
	}
	if config.File != "" {
		file, err := openFile(config.File)
		if err != nil {
			return nil, err
		}
		l.file, l.output = file, file
	}
	go l.run()
	return l, nil
}

// openFile opens what is appended to. It never waits: a named pipe that nobody reads is an error.
func openFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NONBLOCK, fileMode)
	switch {
	case errors.Is(err, syscall.ENXIO):
		return nil, fmt.Errorf("cannot open the access log: nobody reads the pipe: %w", err)
	case err != nil:
		return nil, fmt.Errorf("cannot open the access log: %w", err)
	}
	return file, nil
}

// Wants reports whether a request that was answered with a status gets a line.
func (l *Log) Wants(status int) bool {
	return status >= 500 || l.config.Sample >= 1 || rand.Float64() < l.config.Sample
}

// Keys reports whether lines may show keys.
func (l *Log) Keys() bool { return l.config.Keys }

// Append writes an entry as a line to a buffer.
func (l *Log) Append(dst []byte, e *Entry) []byte {
	if l.config.Format == Combined {
		return e.appendCombined(dst, l.config.Keys)
	}
	return e.appendJSON(dst)
}

// Add takes lines to be written. It never waits for the writing.
func (l *Log) Add(lines []byte) {
	l.mu.Lock()
	begun, room := len(l.filling) == 0, len(l.filling)+len(lines) <= bufferMax
	if room {
		l.filling = append(l.filling, lines...)
	}
	crowded := len(l.filling) > bufferMax/2
	l.mu.Unlock()
	if !room {
		l.drop(lines)
	}
	if begun {
		signal(l.begun)
	}
	if crowded {
		signal(l.crowded)
	}
}

// Dropped counts the lines that were lost: there was no room for them, or they could not be written. A log
// that is off loses none.
func (l *Log) Dropped() *atomic.Uint64 {
	if l == nil {
		return new(atomic.Uint64)
	}
	return &l.dropped
}

func (l *Log) drop(lines []byte) { l.dropped.Add(uint64(bytes.Count(lines, []byte{'\n'}))) }

func signal(to chan struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

// Reopen goes on in a file that is opened anew under the same name, for whoever moved the old one away: the
// next lines that are written go there. On an error the old one stays. Standard output stays as it is.
func (l *Log) Reopen() error {
	if l.config.File == "" {
		return nil
	}
	fresh, err := openFile(l.config.File)
	if err != nil {
		return err
	}
	l.mu.Lock()
	unused := l.next
	l.next = fresh
	l.mu.Unlock()
	if unused != nil {
		_ = unused.Close()
	}
	signal(l.begun)
	return nil
}

// Close writes what is left, until the context ends: a write that hangs is left to the process's end. Lines
// added later are lost.
func (l *Log) Close(ctx context.Context) error {
	l.once.Do(func() { close(l.stop) })
	select {
	case <-l.stopped:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("cannot write the access log out: %w", context.Cause(ctx))
	}
}
