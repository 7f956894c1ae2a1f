package h2c

import (
	"sync"
	"time"
)

// watch ends an exchange whose node does not go on while it is waited for. The head of the answer is waited for from the
// start, but not while the client is waited for; then each piece of the body is.
type watch struct {
	mu    sync.Mutex
	timer *time.Timer
	on    bool // somebody waits
	head  bool // the head of the answer has come
}

func (w *watch) start(deadline time.Time, expire func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.on = true
	w.timer = time.AfterFunc(time.Until(deadline), expire)
}

// begin begins a wait for the body of the answer.
func (w *watch) begin(patience time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.on = true
	w.timer.Reset(patience)
}

// end ends a wait.
func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.on = false
	if w.timer != nil {
		w.timer.Stop()
	}
}

// answered is the end of the wait for the head.
func (w *watch) answered() {
	w.mu.Lock()
	w.head = true
	w.mu.Unlock()
	w.end()
}

// pause is the end of a wait for the head while the client is waited for.
func (w *watch) pause() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.head {
		w.on = false
		w.timer.Stop()
	}
}

// extend has the node go on within a while: with its head, or its body if somebody waits for that.
func (w *watch) extend(while time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.on = w.on || !w.head; w.on {
		w.timer.Reset(while)
	}
}
