package h2

import (
	"os"
	"sync"
	"time"
)

// limit ends a call that lasts until after its time. Between calls it does nothing, as deadlines of sockets: what is
// late is whoever is waited for.
type limit struct {
	expire func() // has the call return; safe while it is under way

	mu    sync.Mutex
	at    time.Time // zero: there is none
	under bool      // a call is under way
	timer *time.Timer
}

// set moves the time, of a call that is under way too.
func (l *limit) set(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at = at; l.under {
		l.arm()
	}
}

// time is the time that was set; zero: none.
func (l *limit) time() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at
}

// postpone moves the time of a call that is under way and not late, if there is one, farther.
func (l *limit) postpone(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.under && l.at.Before(at) && time.Now().Before(l.at) {
		l.at = at
		l.arm()
	}
}

// begin begins a call, unless its time is over.
func (l *limit) begin() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.at.IsZero() && !time.Now().Before(l.at) {
		return os.ErrDeadlineExceeded
	}
	l.under = true
	l.arm()
	return nil
}

func (l *limit) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.under = false
	if l.timer != nil {
		l.timer.Stop()
	}
}

func (l *limit) arm() {
	switch {
	case l.at.IsZero() && l.timer != nil:
		l.timer.Stop()
	case l.at.IsZero():
	case l.timer == nil:
		l.timer = time.AfterFunc(time.Until(l.at), l.fire)
	default:
		l.timer.Reset(time.Until(l.at))
	}
}

func (l *limit) fire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.under && !l.at.IsZero() && !time.Now().Before(l.at) {
		l.expire()
	}
}
