package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// line is one of the journal: an operation that begins, or how one ended. The first is with the operating system
// before the request is sent, so that a killed process leaves no write behind that it does not know of; the
// second may be lost with the process, and the operation then counts as open.
type line struct {
	Begin *Operation `json:"begin,omitempty"`
	End   *ending    `json:"end,omitempty"`
}

type ending struct {
	ID      int     `json:"id"`
	Answer  *Answer `json:"answer,omitempty"`  // nil: unknown, or
	Refused bool    `json:"refused,omitempty"` // it never was
}

// journal is the file that a recorder can be made of again.
type journal struct {
	file *os.File
	out  *bufio.Writer
}

// openJournal hands every whole line of the file to replay, and opens it for more behind the last.
func openJournal(path string, replay func(line)) (*journal, error) {
	whole, err := replayFile(path, replay)
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open journal: %w", err)
	}
	if err := errors.Join(file.Truncate(whole), seekEnd(file)); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open journal: %w", err), file.Close())
	}
	return &journal{file: file, out: bufio.NewWriter(file)}, nil
}

func seekEnd(file *os.File) error {
	_, err := file.Seek(0, io.SeekEnd)
	return err
}

// replayFile returns how many bytes of the file are whole lines.
func replayFile(path string, replay func(line)) (whole int64, err error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("cannot read journal: %w", err)
	}
	for {
		end := bytes.IndexByte(content, '\n')
		var next line
		if end < 0 {
			return whole, nil
		}
		if err := json.Unmarshal(content[:end], &next); err != nil {
			return 0, fmt.Errorf("cannot read journal at octet %d: %w", whole, err)
		}
		replay(next)
		content, whole = content[end+1:], whole+int64(end)+1
	}
}

func (j *journal) append(next line) error {
	text, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("cannot encode line of journal: %w", err)
	}
	if _, err := j.out.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("cannot write journal: %w", err)
	}
	if next.Begin == nil {
		return nil
	}
	return j.flush()
}

func (j *journal) flush() error {
	if err := j.out.Flush(); err != nil {
		return fmt.Errorf("cannot write journal: %w", err)
	}
	return nil
}

func (j *journal) close() error { return errors.Join(j.flush(), j.file.Close()) }
