package inbound

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// watchInterval is how long a request lasts, and twice that at most, before its client is watched. Those
	// that are answered sooner cost nothing for it.
	watchInterval = 100 * time.Millisecond
	// roundsIdleMax is how many rounds without a request there are before the watch sleeps.
	roundsIdleMax = 20
)

// watch notices clients that leave while their answers are awaited. It goes its rounds while there are
// requests, and has the kernel tell of the clients of those it met twice.
type watch struct {
	server  *Server
	hangups *hangups
	awake   atomic.Bool
	woken   chan struct{}
	stop    chan struct{}
	running sync.WaitGroup
}

func (w *watch) start(server *Server) {
	w.server, w.woken, w.stop = server, make(chan struct{}, 1), make(chan struct{})
	var err error
	if w.hangups, err = newHangups(); err != nil {
		server.config.Logger.Warn("cannot watch for clients that leave", "error", err)
		return
	}
	w.running.Go(w.run)
	w.running.Go(w.hangups.run)
}

func (w *watch) close() {
	close(w.stop)
	if w.hangups != nil {
		w.hangups.close()
	}
	w.running.Wait()
}

// wake has the rounds begin, if they do not go on already.
func (w *watch) wake() {
	if w.awake.Load() || !w.awake.CompareAndSwap(false, true) {
		return
	}
	select {
	case w.woken <- struct{}{}:
	default:
	}
}

func (w *watch) run() {
	for {
		select {
		case <-w.woken:
			w.goRounds()
		case <-w.stop:
			return
		}
	}
}

// goRounds goes on until there was no request for a while.
func (w *watch) goRounds() {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for idle := 0; idle < roundsIdleMax; {
		select {
		case <-ticker.C:
		case <-w.stop:
			return
		}
		if idle++; w.round() {
			idle = 0
		}
	}
	w.awake.Store(false)
	if w.round() { // a request that came before that did not wake anybody
		w.wake()
	}
}

// round has the clients watched whose requests were there at the last round; it reports whether there are any
// requests.
func (w *watch) round() (busy bool) {
	var lasting []*Conn
	w.server.mu.Lock()
	for conn := range w.server.conns {
		if !conn.active.Load() {
			continue
		}
		busy = true
		switch turn := conn.leaving.turn.Load(); {
		case turn != conn.leaving.seen:
			conn.leaving.seen = turn
		case turn != conn.leaving.slow.Load():
			lasting = append(lasting, conn)
		}
	}
	w.server.mu.Unlock()
	for _, conn := range lasting {
		w.look(conn)
	}
	return busy
}

func (w *watch) look(conn *Conn) {
	turn := conn.leaving.seen
	conn.leaving.slow.Store(turn)
	if conn.leaving.token.Load() == 0 {
		w.hangups.add(conn)
	}
	if conn.leaving.hungUp.Load() && conn.leaving.turn.Load() == turn {
		conn.abandon()
	}
}
