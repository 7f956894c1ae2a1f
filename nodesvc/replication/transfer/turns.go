package transfer

import (
	"context"
	"errors"
)

// SlotsDefault is how many slots are copied at once unless told otherwise.
const SlotsDefault = 2

// ErrTooManyWait says that the line for a turn is as long as it may be.
var ErrTooManyWait = errors.New("too many copies wait for their turn")

// Turns lets a few copies run at once; the others wait in line.
type Turns struct {
	running chan struct{}
	line    chan struct{}
}

// NewTurns lets atOnce copies run, and waitingMax more wait.
func NewTurns(atOnce, waitingMax int) *Turns {
	return &Turns{running: make(chan struct{}, atOnce), line: make(chan struct{}, atOnce+waitingMax)}
}

// Take waits for a turn, first come, first served, until ctx ends. done ends the turn; it is called once.
func (t *Turns) Take(ctx context.Context) (done func(), err error) {
	select {
	case t.line <- struct{}{}:
	default:
		return nil, ErrTooManyWait
	}
	select {
	case t.running <- struct{}{}:
		return func() { <-t.running; <-t.line }, nil
	case <-ctx.Done():
		<-t.line
		return nil, ctx.Err()
	}
}
