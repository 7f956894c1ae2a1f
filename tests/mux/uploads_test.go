package mux_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stead-io/stead/dataplane/forward"
	"github.com/stead-io/stead/dataplane/wire"
)

// TestUploadCutShort: a body whose source fails never looks whole to the handler.
func TestUploadCutShort(t *testing.T) {
	ended := make(chan error, 2)
	each(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			_, err := io.Copy(io.Discard, r.Body)
			ended <- err
		}
	}, func(t *testing.T, by upstream, to forward.Target) {
		source := io.MultiReader(strings.NewReader("some"), failing{})
		if _, _, err := fetch(by, to, post(t, "/", source, -1)); stageOf(err) != forward.ClientFailed {
			t.Errorf("got %v", err)
		}
		if err := <-ended; err == nil {
			t.Error("the handler took the part for the whole")
		}
	})
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the client left") }

// TestEarlyAnswer: an answer before the end of the request ends the upload, and is whole.
func TestEarlyAnswer(t *testing.T) {
	each(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, "too much")
	}, func(t *testing.T, by upstream, to forward.Target) {
		reader, writer := io.Pipe()
		client := &interrupter{reader}
		go func() {
			for {
				if _, err := writer.Write(make([]byte, 32<<10)); err != nil {
					return
				}
			}
		}()
		request := post(t, "/", reader, -1)
		request.Client = client
		answer, err := by.Send(to, request)
		if err != nil {
			t.Skipf("the connection was reset under the answer: %v", err) // as HTTP/1.1 may have it
		}
		var body []byte
		for err == nil {
			var piece []byte
			piece, err = answer.Next()
			body = append(body, piece...)
		}
		if answer.Head().Status != 413 || string(body) != "too much" || err != io.EOF || answer.Uploaded() {
			t.Errorf("%d %q %v", answer.Head().Status, body, err)
		}
		client.InterruptRead()
		answer.Close()
	})
}

// interrupter is a client that stays.
type interrupter struct{ reader *io.PipeReader }

func (i *interrupter) InterruptRead()       { _ = i.reader.CloseWithError(errors.New("not wanted")) }
func (i *interrupter) Hold(io.Closer) bool  { return true }
func (i *interrupter) Interim(*wire.Answer) {}

// leaver is a client that leaves when it is told to, or has left before.
type leaver struct {
	mu   sync.Mutex
	held io.Closer
	gone bool
}

func (l *leaver) InterruptRead()       {}
func (l *leaver) Interim(*wire.Answer) {}

func (l *leaver) Hold(closer io.Closer) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = closer
	return !l.gone
}

func (l *leaver) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone = true
	if l.held != nil {
		_ = l.held.Close()
	}
}

// TestClientLeaves: the handler's context ends when its client does, and what comes next is served.
func TestClientLeaves(t *testing.T) {
	arrived, ended := make(chan struct{}, 2), make(chan struct{}, 2)
	each(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/wait" {
			return
		}
		arrived <- struct{}{}
		select {
		case <-r.Context().Done():
			ended <- struct{}{}
		case <-time.After(patience):
		}
	}, func(t *testing.T, by upstream, to forward.Target) {
		client := &leaver{}
		go func() {
			<-arrived
			client.leave()
		}()
		request := get("/wait")
		request.Client = client
		if _, _, err := fetch(by, to, request); stageOf(err) != forward.ClientGone {
			t.Errorf("got %v", err)
		}
		select {
		case <-ended:
		case <-time.After(patience):
			t.Error("the handler is not told")
		}
		if _, _, err := fetch(by, to, request); stageOf(err) != forward.ClientGone {
			t.Errorf("of a client that had left: %v", err)
		}
		if status, _, err := fetch(by, to, get("/")); err != nil || status != http.StatusOK {
			t.Errorf("the next request got %d, %v", status, err)
		}
	})
}

// TestExpect: a body that waits to be asked for is asked for when the handler reads it, or never.
func TestExpect(t *testing.T) {
	each(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		n, err := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, n, err)
	}, func(t *testing.T, by upstream, to forward.Target) {
		f := func(path string, wantStatus int, want string, wantRead bool) {
			t.Helper()
			source := &counting{left: 2 << 20}
			request := post(t, path, source, 2<<20)
			request.Head = []byte("POST " + path + " HTTP/1.1\r\nHost: h\r\nContent-Length: 2097152\r\nExpect: 100-continue\r\n\r\n")
			request.ExpectContinue = true
			began := time.Now()
			status, body, err := fetch(by, to, request)
			if status != wantStatus || body != want || err != nil || (source.left == 0) != wantRead || time.Since(began) > 900*time.Millisecond {
				t.Errorf("%s: %d %q %v; %d were not read, in %v", path, status, body, err, source.left, time.Since(began))
			}
		}
		f("/yes", 200, "2097152 <nil>", true)
		f("/no", 403, "", false)
	})
}

// counting gives so many octets.
type counting struct{ left int }

func (c *counting) Read(p []byte) (int, error) {
	n := min(len(p), c.left)
	if n == 0 {
		return 0, io.EOF
	}
	c.left -= n
	return n, nil
}

// TestClientPauses: while the client is waited for, the node owes no answer, however impatient the proxy is with it.
func TestClientPauses(t *testing.T) {
	each(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, n, err)
	}, func(t *testing.T, by upstream, to forward.Target) {
		reader, writer := io.Pipe()
		var client sync.WaitGroup
		client.Go(func() {
			_, _ = io.WriteString(writer, "before")
			time.Sleep(250 * time.Millisecond)
			_, _ = io.WriteString(writer, "after")
			_ = writer.Close()
		})
		request := post(t, "/", reader, -1)
		request.Patience = 50 * time.Millisecond
		if status, body, err := fetch(by, to, request); status != http.StatusOK || body != "11 <nil>" || err != nil {
			t.Errorf("got %d %q, %v", status, body, err)
		}
		client.Wait()
	})
}

// TestNodeTakesNoMore: a node that neither reads nor answers is given up when its patience is over.
func TestNodeTakesNoMore(t *testing.T) {
	release := make(chan struct{})
	each(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			<-release
		}
	}, func(t *testing.T, by upstream, to forward.Target) {
		request := post(t, "/", &counting{left: 64 << 20}, 64<<20)
		request.Patience = 100 * time.Millisecond
		began := time.Now()
		if _, _, err := fetch(by, to, request); stageOf(err) != forward.TimedOut {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		release <- struct{}{}
	})
}
