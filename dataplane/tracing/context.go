package tracing

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
)

// TraceID names a trace; zero names none.
type TraceID [16]byte

// SpanID names a span of a trace; zero names none.
type SpanID [8]byte

// Flags say what is known of a trace (W3C Trace Context, section 3.2.2.5).
type Flags byte

// Flags that are known; others are not passed on.
const (
	Sampled Flags = 1 << iota // whoever began or continued it records it
	Random                    // its id was drawn. Not said of ids drawn here: many readers of version 00 take it for an error
)

// Context is a place in a trace: one span of it. Zero: there is no trace.
type Context struct {
	Trace TraceID
	Span  SpanID
	Flags Flags
}

// Valid reports whether the context names a trace.
func (c Context) Valid() bool { return c.Trace != TraceID{} }

// Sampled reports whether the trace is recorded.
func (c Context) Sampled() bool { return c.Flags&Sampled != 0 }

// At is the place of another span of the trace.
func (c Context) At(span SpanID) Context {
	c.Span = span
	return c
}

// contextLength is that of a traceparent of version 00, in octets, and where those of later versions may go on.
const contextLength = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")

// ParseContext reads the value of a traceparent field (W3C Trace Context, section 3.2). Of a version that is not
// known it reads what version 00 has, as section 3.2.4 demands; false where the value names no place in a trace.
func ParseContext(value []byte) (c Context, valid bool) {
	if len(value) < contextLength || value[2] != '-' || value[35] != '-' || value[52] != '-' {
		return Context{}, false
	}
	var version, flags [1]byte
	valid = decode(version[:], value[:2]) && decode(c.Trace[:], value[3:35]) &&
		decode(c.Span[:], value[36:52]) && decode(flags[:], value[53:contextLength])
	switch rest := value[contextLength:]; {
	case !valid, version[0] == 0xFF, c.Trace == TraceID{}, c.Span == SpanID{}:
		return Context{}, false
	case len(rest) > 0 && (version[0] == 0 || rest[0] != '-'):
		return Context{}, false
	}
	c.Flags = Flags(flags[0]) & (Sampled | Random)
	return c, true
}

// decode reads hex digits in lower case, the only ones there are in a traceparent.
func decode(dst, digits []byte) bool {
	for _, c := range digits {
		if 'A' <= c && c <= 'F' {
			return false
		}
	}
	_, err := hex.Decode(dst, digits)
	return err == nil
}

// Append writes the value of a traceparent field.
func (c Context) Append(dst []byte) []byte {
	dst = append(dst, "00-"...)
	dst = append(hex.AppendEncode(dst, c.Trace[:]), '-')
	dst = append(hex.AppendEncode(dst, c.Span[:]), '-')
	return hex.AppendEncode(dst, []byte{byte(c.Flags)})
}

// drawTrace begins a trace.
func drawTrace() (id TraceID) {
	for id == (TraceID{}) {
		binary.BigEndian.PutUint64(id[:8], rand.Uint64())
		binary.BigEndian.PutUint64(id[8:], rand.Uint64())
	}
	return id
}

// DrawSpan makes a name for a span.
func DrawSpan() (id SpanID) {
	for id == (SpanID{}) {
		binary.BigEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}
