package slotlog

import "sync"

// failure remembers the first error after which a store is not to be trusted.
type failure struct {
	once   sync.Once
	failed chan struct{}
	err    error // written before failed is closed
}

func newFailure() *failure { return &failure{failed: make(chan struct{})} }

func (f *failure) set(err error) {
	f.once.Do(func() {
		f.err = err
		close(f.failed)
	})
}

// Failed is closed at the first error.
func (f *failure) Failed() <-chan struct{} { return f.failed }

// Err is that error, nil before.
func (f *failure) Err() error {
	select {
	case <-f.failed:
		return f.err
	default:
		return nil
	}
}
