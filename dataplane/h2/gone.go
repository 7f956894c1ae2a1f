package h2

import "errors"

// errDisconnected is what net/http says where a connection ended before a body did. It keeps the value to itself.
const errDisconnected = "client disconnected"

// reset is a stream's end by RST_STREAM, of either side. net/http fills it in for errors.As, field by field, in place
// of a type that it keeps to itself.
type reset struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (reset) Error() string { return "the stream was reset" }

// Codes of RST_STREAM that find fault with what came (RFC 9113, section 7).
const (
	codeProtocol    = 0x1
	codeFlowControl = 0x3
)

// gone reports whether a body has no end because its client gave the request up, or left.
func gone(err error) bool {
	var by reset
	if errors.As(err, &by) {
		return by.Code != codeProtocol && by.Code != codeFlowControl
	}
	return err != nil && err.Error() == errDisconnected
}
