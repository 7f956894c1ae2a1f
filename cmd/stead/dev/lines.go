package dev

import (
	"bytes"
	"io"
	"sync"
)

// Bounds on what is kept of a process's output.
const (
	lineLengthMax = 16 << 10 // bytes; a longer line is cut in two
	lastLinesMax  = 20
)

// printer writes whole lines of many processes to one place, each behind the name of its process.
type printer struct {
	mu sync.Mutex
	to io.Writer
}

func (p *printer) line(name string, line []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]byte, 0, len(name)+len(line)+4)
	out = append(out, name...)
	out = append(out, " | "...)
	out = append(out, line...)
	out = append(out, '\n')
	_, _ = p.to.Write(out) // whoever reads may have gone; the processes run on
}

// lines is the output of one process: it prints each line and remembers the last ones.
type lines struct {
	name string
	to   *printer

	mu      sync.Mutex
	partial []byte
	last    []string
}

// Write takes output as it comes; it never fails, so that the process never stalls or breaks on it.
func (l *lines) Write(chunk []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.partial = append(l.partial, chunk...)
	for {
		end := bytes.IndexByte(l.partial, '\n')
		rest := end + 1
		if end < 0 && len(l.partial) < lineLengthMax {
			return len(chunk), nil
		}
		if end < 0 {
			end, rest = len(l.partial), len(l.partial)
		}
		l.emit(l.partial[:end])
		l.partial = l.partial[rest:]
	}
}

// flush prints an unfinished last line.
func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.partial) > 0 {
		l.emit(l.partial)
		l.partial = nil
	}
}

func (l *lines) emit(line []byte) {
	l.to.line(l.name, line)
	l.last = append(l.last, string(line))
	if len(l.last) > lastLinesMax {
		l.last = l.last[1:]
	}
}

// tail returns the last lines.
func (l *lines) tail() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.last...)
}
