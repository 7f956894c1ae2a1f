package accesslog

import (
	"io"
	"os"
	"time"
)

// writer is where lines go.
type writer struct {
	file   *os.File // nil: the output is used
	output io.Writer
	spare  []byte
	torn   bool // the last line written is not whole
	warned time.Time
}

// run writes until the log is closed.
func (l *Log) run() {
	defer close(l.stopped)
	gathered := time.NewTimer(gatherTime)
	defer gathered.Stop()
	for open := true; open; {
		select {
		case <-l.begun:
		case <-l.stop:
			open = false
		}
		gathered.Reset(gatherTime)
		select {
		case <-gathered.C:
		case <-l.crowded:
		case <-l.stop:
			open = false
		}
		l.write()
	}
	if l.file != nil {
		_ = l.file.Close()
	}
}

func (l *Log) write() {
	l.mu.Lock()
	lines, fresh := l.filling, l.next
	l.filling, l.next = l.spare[:0], nil
	l.mu.Unlock()
	l.spare = lines
	if fresh != nil {
		_ = l.file.Close()
		l.file, l.output, l.torn = fresh, fresh, false
	}
	if len(lines) == 0 {
		return
	}
	n, err := l.put(lines)
	if err == nil {
		return
	}
	l.drop(lines[n:])
	if now := time.Now(); now.Sub(l.warned) >= warnEvery {
		l.warned = now
		l.logger.Warn("cannot write the access log", "error", err, "dropped", l.dropped.Load())
	}
}

// put writes lines, behind the end of one that was torn, and returns how much of them it wrote.
func (l *Log) put(lines []byte) (n int, err error) {
	if l.torn {
		if _, err = l.output.Write([]byte{'\n'}); err != nil {
			return 0, err
		}
	}
	n, err = l.output.Write(lines)
	l.torn = n > 0 && lines[n-1] != '\n'
	return n, err
}
