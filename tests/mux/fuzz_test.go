package mux_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// FuzzBothEnds runs requests of many kinds beside each other, as a script of octets says: each gets what is its own,
// whole or visibly not, and the connection outlives them all.
func FuzzBothEnds(f *testing.F) {
	n := serve(f, behave)
	ways := muxed(f, n)
	connects := ways.mux.Stats.Connects.Load()
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7})
	f.Add(bytes.Repeat([]byte{0x10, 0x71, 0xf0, 0xf6}, 6))
	f.Add([]byte{0xf1, 0xf1, 0xf7, 0x03, 0xf5, 0x02})
	f.Fuzz(func(t *testing.T, script []byte) {
		var clients sync.WaitGroup
		for i, op := range script[:min(len(script), 24)] {
			clients.Go(func() {
				if err := ways.act(t, n, i, op); err != nil {
					t.Errorf("step %d, %#x: %v", i, op, err)
				}
			})
		}
		clients.Wait()
		if _, body, err := fetch(ways.mux, n.target(), get("/whole?n=3")); body != "/wh" || err != nil {
			t.Errorf("afterwards: %q, %v", body, err)
		}
		if now := ways.mux.Stats.Connects.Load(); now != connects {
			t.Errorf("the connection was made anew %d times", now-connects)
		}
	})
}

// behave answers n octets that repeat the path, in ways that the path says.
func behave(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.URL.Query().Get("n"))
	answer := pattern(r.URL.Path, n)
	switch r.URL.Path {
	case "/echo", "/chunked":
		_ = http.NewResponseController(w).EnableFullDuplex() // while the connection is full, requests go by HTTP/1.1
		w.WriteHeader(http.StatusEarlyHints)
		if _, err := io.Copy(w, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		_ = http.NewResponseController(w).Flush()
		w.Header()[http.TrailerPrefix+"X-Step"] = r.Trailer["X-Step"]
	case "/half":
		_, _ = io.WriteString(w, answer[:n/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case "/none":
		panic(http.ErrAbortHandler)
	case "/flushed":
		for len(answer) > 0 {
			piece := answer[:min(len(answer), 3000)]
			answer = answer[len(piece):]
			_, _ = io.WriteString(w, piece)
			_ = http.NewResponseController(w).Flush()
		}
	default:
		_, _ = io.WriteString(w, answer)
	}
}

func pattern(text string, n int) string { return strings.Repeat(text, n/len(text)+1)[:n] }

// act does what one octet says: the lower three bits the kind, the others how long.
func (w *transports) act(t *testing.T, n *node, step int, op byte) error {
	size := int(op>>3) * int(op>>3) * 300
	path := [8]string{"/whole", "/echo", "/chunked", "/half", "/none", "/flushed", "/early", "/left"}[op&7]
	target := fmt.Sprintf("%s?n=%d&step=%d", path, size, step)
	request, want, trailers := get(target), pattern(path, size), ""
	request.Safe = false
	switch path {
	case "/echo":
		request = post(t, target, strings.NewReader(want), int64(size))
	case "/chunked":
		trailers = fmt.Sprintf("X-Step: %d\r\n", step)
		request = post(t, target, trailing{strings.NewReader(want), trailers}, -1)
	case "/early":
		request = post(t, target, strings.NewReader(want), -1)
	case "/left":
		answer, err := w.mux.Send(n.target(), request)
		if err == nil {
			answer.Close()
		}
		return err
	}
	request.Deadline = time.Now().Add(patience)
	got, behind, err := fetchAll(w.mux, n.target(), request)
	switch {
	case (path == "/half" || path == "/none") && err == nil:
		return fmt.Errorf("%d octets look whole", len(got))
	case path == "/half" || path == "/none":
		if !strings.HasPrefix(want, got) {
			return fmt.Errorf("got another's: %.60q", got)
		}
		return nil
	case err == nil && got != want:
		return fmt.Errorf("got %d octets of %d: %.60q", len(got), len(want), got)
	case err == nil && behind != trailers:
		return fmt.Errorf("behind the body came %q, not %q", behind, trailers)
	default:
		return err
	}
}
