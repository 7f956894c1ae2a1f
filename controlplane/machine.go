package controlplane

import (
	"io"
	"sync"
	"sync/atomic"

	"github.com/stead-io/stead/controlplane/fsm"
)

// machine holds the replicated state and tells who waits that it moved.
type machine struct {
	state atomic.Pointer[fsm.State]
	// fail ends the process: a log entry that cannot be applied means that this member can no longer
	// agree with the others.
	fail func(error)

	mu      sync.Mutex
	changed chan struct{}
	broken  error
}

func newMachine(fail func(error)) *machine {
	m := &machine{fail: fail, changed: make(chan struct{})}
	m.state.Store(fsm.New())
	return m
}

// Apply implements consensus.Machine.
func (m *machine) Apply(index uint64, entry []byte) any {
	if m.broken != nil {
		return m.broken
	}
	next, result, err := fsm.Apply(m.state.Load(), index, entry)
	if err != nil {
		m.broken = err
		m.fail(err)
		return err
	}
	m.become(next)
	return result
}

func (m *machine) become(state *fsm.State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.Store(state)
	close(m.changed)
	m.changed = make(chan struct{})
}

// Snapshot implements consensus.Machine: states are never changed, so the pointer is the snapshot.
func (m *machine) Snapshot() func(io.Writer) error {
	if broken := m.broken; broken != nil {
		return func(io.Writer) error { return broken }
	}
	return m.state.Load().Encode
}

// Restore implements consensus.Machine.
func (m *machine) Restore(source io.Reader) error {
	state, err := fsm.DecodeState(source)
	if err != nil {
		return err
	}
	m.become(state)
	return nil
}

func (m *machine) changes() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}
