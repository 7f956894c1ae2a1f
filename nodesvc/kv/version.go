package kv

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync/atomic"
)

// Version names one write for ever: who made it, and its number among the writes of that process.
type Version struct {
	Writer uint64 // drawn at random by each process
	Number uint64
}

// ETag is the version as a strong entity tag, quotes included.
func (v Version) ETag() string { return fmt.Sprintf(`"%016x-%x"`, v.Writer, v.Number) }

// versions hands out the versions of one process.
type versions struct {
	writer uint64
	last   atomic.Uint64
}

func newVersions() *versions {
	var seed [8]byte
	_, _ = rand.Read(seed[:]) // never fails: it ends the process instead
	return &versions{writer: binary.BigEndian.Uint64(seed[:])}
}

func (v *versions) next() Version { return Version{Writer: v.writer, Number: v.last.Add(1)} }
