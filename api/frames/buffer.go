package frames

import "sync"

// flowKeepMax is the capacity of buffers that are held on to between streams; longer ones are shared.
const flowKeepMax = 16 << 10

// longBuffer is what holds more than that.
type longBuffer [128 << 10]byte

var longBuffers = sync.Pool{New: func() any { return new(longBuffer) }}

// kept is what is held on to of a buffer: a long one is given back.
func kept(buffer []byte) []byte {
	if cap(buffer) <= flowKeepMax {
		return buffer[:0]
	}
	if cap(buffer) == len(longBuffer{}) {
		longBuffers.Put((*longBuffer)(buffer[:cap(buffer)]))
	}
	return nil
}

// hold appends to a buffer, which grows into a long one at once.
func hold(buffer, more []byte) []byte {
	if need := len(buffer) + len(more); cap(buffer) < need && flowKeepMax < need && need <= len(longBuffer{}) {
		return append(append(longBuffers.Get().(*longBuffer)[:0], buffer...), more...)
	}
	return append(buffer, more...)
}
