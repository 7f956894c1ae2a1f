// Package heir has a process replaced by another one, of another binary perhaps, that goes on with its
// sockets. It owns how the one starts the other, what they tell each other, and how long that may take. It does not own the
// sockets, nor what is served on them. Its invariant: the old process is told that it may go only by a new one that
// serves; whatever else happens, it goes on.
package heir

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Timeout is how long a new process may take until it serves.
const Timeout = 20 * time.Second

// mark is the variable that holds the Will of the process before.
const mark = "_STEAD_WILL"

// What is inherited, by file descriptor.
const (
	fdClients = 3 + iota
	fdAdmin
	fdWord
)

// ready is what a process says that serves; anything else is why it cannot.
const ready = "ready"

// wordMax bounds what is read of a new process's word.
const wordMax = 4 << 10

// Will is what a process leaves to the one after it.
type Will struct {
	PID         int    `json:"pid"`
	ID          string `json:"id"`
	Listen      string `json:"listen"` // as it was set, not as it was resolved
	AdminListen string `json:"admin_listen"`

	Clients, Admin *os.File `json:"-"`
}

// Program is the binary that this process was started from, as it is named now: by a path that is a link it may be a newer one.
func Program() (string, error) {
	if path, err := exec.LookPath(os.Args[0]); err == nil {
		return path, nil
	}
	return os.Executable()
}

// Start runs a program with this process's arguments and waits until it serves. If it does not, it is ended, and the
// error says why. The files of the will stay the caller's.
func Start(ctx context.Context, program string, will Will) (pid int, err error) {
	content, err := json.Marshal(will)
	if err != nil {
		return 0, err
	}
	word, theirs, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer func() { _ = word.Close() }()
	command := exec.Command(program, os.Args[1:]...)
	command.Args[0] = os.Args[0]
	command.Env = append(os.Environ(), mark+"="+string(content))
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	command.ExtraFiles = []*os.File{will.Clients, will.Admin, theirs} // fdClients and so on
	err = command.Start()
	_ = theirs.Close()
	if err != nil {
		return 0, err
	}
	if err := await(ctx, word); err != nil {
		_ = command.Process.Kill()
		_ = command.Wait()
		return 0, fmt.Errorf("%s (pid %d): %w", program, command.Process.Pid, err)
	}
	pid = command.Process.Pid
	return pid, command.Process.Release()
}

// await reads the word of a new process.
func await(ctx context.Context, from *os.File) error {
	_ = from.SetReadDeadline(time.Now().Add(Timeout))
	defer context.AfterFunc(ctx, func() { _ = from.SetReadDeadline(time.Unix(1, 0)) })()
	word, err := io.ReadAll(io.LimitReader(from, wordMax))
	switch said := strings.TrimSpace(string(word)); {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("it did not serve within %v", Timeout)
	case err != nil:
		return err
	case said == "":
		return errors.New("it ended before it served; what it wrote to stderr says why")
	case said != ready:
		return errors.New(said)
	}
	return nil
}

// Heir is this process, where another one started it to take its place.
type Heir struct {
	Will
	word *os.File
}

// Inherit takes what the process before left; nil if there was none.
func Inherit() (*Heir, error) {
	content, left := os.LookupEnv(mark)
	if !left {
		return nil, nil
	}
	if err := os.Unsetenv(mark); err != nil { // whom this process starts inherits nothing of it
		return nil, err
	}
	for fd := fdClients; fd <= fdWord; fd++ {
		syscall.CloseOnExec(fd)
	}
	h := &Heir{word: os.NewFile(fdWord, "word")}
	if err := json.Unmarshal([]byte(content), &h.Will); err != nil {
		return nil, fmt.Errorf("cannot read what the process before left: %w", err)
	}
	h.Clients, h.Admin = os.NewFile(fdClients, "clients"), os.NewFile(fdAdmin, "admin")
	return h, nil
}

// Serves tells the process before that this one serves: it leaves then.
func (h *Heir) Serves() error { return h.say(ready) }

// Fails tells the process before why this one cannot take its place.
func (h *Heir) Fails(why error) { _ = h.say(why.Error()) }

func (h *Heir) say(word string) error {
	_, err := io.WriteString(h.word, word)
	if err = errors.Join(err, h.word.Close()); err != nil {
		return fmt.Errorf("cannot tell the process before: %w", err)
	}
	return nil
}
