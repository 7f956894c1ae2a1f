package forward

import (
	"strconv"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/dataplane/wire"
)

// Stamp is what the proxy tells a node about a request.
type Stamp struct {
	Key   []byte // nil: the request has none, and no stamp
	Slot  api.Slot
	Epoch api.Epoch

	// Trail are whole lines about the way the request has come; Dropped are the fields that they stand for.
	Trail   []byte
	Dropped wire.Kinds
}

// AppendRequest writes the head of a request as it goes to the node at an address: method, target
// and the fields that belong to the two ends byte for byte as received, the framing anew, and the
// stamp. Fields of the hop, and whatever Stead-* came from outside, stay behind.
func AppendRequest(dst []byte, r *wire.Request, address string, stamp Stamp, expectContinue bool) []byte {
	dst = append(dst, r.Method...)
	dst = append(dst, ' ')
	dst = append(dst, r.Target...)
	dst = append(dst, " HTTP/1.1\r\n"...)
	if len(r.Host) == 0 {
		dst = appendField(dst, "Host", address)
	}
	dst = appendEndToEnd(dst, &r.Head, stamp.Dropped)
	dst = append(dst, stamp.Trail...)
	if r.Length == wire.Chunked {
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	} else if r.HasLength {
		dst = appendNumber(dst, "Content-Length", uint64(r.Length))
	}
	if r.TakesTrailers {
		dst = append(dst, "Connection: TE\r\nTE: trailers\r\n"...)
	}
	if expectContinue {
		dst = append(dst, "Expect: 100-continue\r\n"...)
	}
	if stamp.Key != nil {
		dst = append(dst, api.HeaderKey+": "...)
		dst = api.AppendKey(dst, stamp.Key)
		dst = append(dst, "\r\n"...)
		dst = appendNumber(dst, api.HeaderSlot, uint64(stamp.Slot))
		dst = appendNumber(dst, api.HeaderEpoch, uint64(stamp.Epoch))
	}
	return append(dst, "\r\n"...)
}

// AppendAnswer writes the head of an answer as it goes to the client, up to where framing and the
// proxy's own fields follow. Fields that are dropped are the proxy's to say.
func AppendAnswer(dst []byte, a *wire.Answer, dropped wire.Kinds) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = append(dst, a.Reason...)
	if len(a.Reason) == 3 {
		dst = append(dst, ' ') // the space stands even before an empty reason
	}
	dst = append(dst, "\r\n"...)
	return appendEndToEnd(dst, &a.Head, dropped)
}

func appendEndToEnd(dst []byte, h *wire.Head, dropped wire.Kinds) []byte {
	for i := range h.Fields {
		if field := &h.Fields[i]; !dropped.Has(field.Kind) && !h.HopByHop(field) {
			dst = append(dst, field.Line...)
		}
	}
	return dst
}

func appendField(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}

func appendNumber(dst []byte, name string, value uint64) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = strconv.AppendUint(dst, value, 10)
	return append(dst, "\r\n"...)
}
