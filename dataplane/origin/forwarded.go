package origin

import (
	"net/netip"

	"github.com/stead-io/stead/dataplane/wire"
)

// appendForwarded writes Forwarded: what a trusted peer said, if all of it can be read, and the peer.
func appendForwarded(dst []byte, request *wire.Request, peer Peer) []byte {
	dst = append(dst, "Forwarded: "...)
	if peer.Trusted {
		begin, readable := len(dst), true
		fields(&request.Head, wire.Forwarded, func(list []byte) {
			readable = readable && elements(list, func(netip.Addr) {})
			dst = append(append(dst, list...), ", "...)
		})
		if !readable {
			dst = dst[:begin]
		}
	}
	dst = append(dst, "for="...)
	if peer.Addr.Is6() {
		dst = append(peer.Addr.AppendTo(append(dst, `"[`...)), `]"`...)
	} else {
		dst = peer.Addr.AppendTo(dst)
	}
	if len(request.Host) > 0 {
		// Quoted, for a port or brackets are no token's; a Host that holds a quote was refused.
		dst = append(append(append(dst, `;host="`...), request.Host...), '"')
	}
	return append(append(append(dst, ";proto="...), peer.scheme()...), "\r\n"...)
}

func (w *walk) forwarded(head *wire.Head) {
	readable := true
	fields(head, wire.Forwarded, func(list []byte) {
		readable = readable && elements(list, w.add)
	})
	if !readable {
		*w = walk{}
	}
}

// elements reads a list of elements (RFC 7239, section 4) and calls with the address each is for, if it
// names one; false where it is no such list. Quoted strings without escapes are all that addresses and names need, and all that is read.
func elements(list []byte, each func(netip.Addr)) bool {
	for {
		var node []byte
		var end byte
		for end = ';'; end == ';'; {
			var name, value []byte
			var valid bool
			if name, value, end, list, valid = cutPair(list); !valid {
				return false
			}
			if wire.EqualFold(name, "for") {
				if node != nil {
					return false
				}
				node = value
			}
		}
		addr, valid := parseNode(node)
		if node != nil && !valid {
			return false
		}
		each(addr)
		if end == 0 {
			return true
		}
	}
}

// cutPair splits off name=value and the octet that ends it: ';', ',' or 0 for the end of the list.
func cutPair(list []byte) (name, value []byte, end byte, rest []byte, valid bool) {
	list = skipSpace(list)
	name, list = cutToken(list)
	if len(name) == 0 || len(list) < 2 || list[0] != '=' {
		return nil, nil, 0, nil, false
	}
	if list = list[1:]; list[0] == '"' {
		value, list, valid = cutQuoted(list[1:])
	} else {
		value, list = cutToken(list)
		valid = len(value) > 0
	}
	list = skipSpace(list)
	switch {
	case !valid:
		return nil, nil, 0, nil, false
	case len(list) == 0:
		return name, value, 0, nil, true
	default:
		return name, value, list[0], list[1:], list[0] == ';' || list[0] == ','
	}
}

func cutToken(text []byte) (token, rest []byte) {
	n := 0
	for n < len(text) && wire.IsToken(text[n:n+1]) {
		n++
	}
	return text[:n], text[n:]
}

// cutQuoted reads on behind an opening quote.
func cutQuoted(text []byte) (value, rest []byte, closed bool) {
	for i, c := range text {
		switch {
		case c == '"':
			return text[:i:i], text[i+1:], true
		case c == '\\' || c < ' ' || c >= 0x7F:
			return nil, nil, false
		}
	}
	return nil, nil, false
}

func skipSpace(text []byte) []byte {
	for len(text) > 0 && (text[0] == ' ' || text[0] == '\t') {
		text = text[1:]
	}
	return text
}
