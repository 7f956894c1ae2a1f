package replication

import (
	"sync"
	"time"

	"github.com/stead-io/stead/api"
)

// lateAcks are acknowledgements that are held back, and their senders with them, because more comes in than
// should. A sender has few chunks on their way, so there are few.
type lateAcks struct {
	engine *Engine

	mu   sync.Mutex
	acks []lateAck
}

type lateAck struct {
	due time.Time
	to  api.NodeID
	ChunkAck
}

// add sends an acknowledgement after a pause.
func (l *lateAcks) add(pause time.Duration, to api.NodeID, ack ChunkAck) {
	if pause <= 0 {
		l.engine.send(to, ack)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acks = append(l.acks, lateAck{time.Now().Add(pause), to, ack})
}

// send sends those that are due.
func (l *lateAcks) send(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.acks) > 0 && !l.acks[0].due.After(now) {
		l.engine.send(l.acks[0].to, l.acks[0].ChunkAck)
		l.acks = l.acks[1:]
	}
}
