package origin

import (
	"bytes"
	"net/netip"

	"github.com/stead-io/stead/dataplane/wire"
)

// appendFor writes X-Forwarded-For: what a trusted peer said, and the peer. An element that is no address
// goes, and all before it: whoever reads the list from its end would stop there.
func appendFor(dst []byte, head *wire.Head, peer Peer) []byte {
	dst = append(dst, "X-Forwarded-For: "...)
	begin := len(dst)
	if peer.Trusted {
		fields(head, wire.ForwardedFor, func(list []byte) {
			for more := true; more; {
				var element []byte
				element, list, more = bytes.Cut(list, []byte{','})
				element = bytes.Trim(element, " \t")
				if _, valid := parseNode(element); !valid {
					dst = dst[:begin]
					continue
				}
				dst = append(append(dst, element...), ", "...)
			}
		})
	}
	return append(peer.Addr.AppendTo(dst), "\r\n"...)
}

func (w *walk) xForwardedFor(head *wire.Head) {
	fields(head, wire.ForwardedFor, func(list []byte) {
		for more := true; more; {
			var element []byte
			element, list, more = bytes.Cut(list, []byte{','})
			addr, _ := parseNode(bytes.Trim(element, " \t"))
			w.add(addr)
		}
	})
}

// kept is the one value of a field that a trusted peer said, nil where it is not to be kept: it stands
// twice, or holds more than names, addresses and commas.
func kept(head *wire.Head, kind wire.Kind, peer Peer) (value []byte) {
	if !peer.Trusted {
		return nil
	}
	count := 0
	fields(head, kind, func(v []byte) {
		value = v
		count++
	})
	for _, c := range value {
		letterOrDigit := '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letterOrDigit && bytes.IndexByte([]byte(".-_:[], "), c) < 0 {
			return nil
		}
	}
	if count != 1 {
		return nil
	}
	return value
}

// appendKept writes a field that the first proxy says and the others repeat.
func appendKept(dst []byte, name string, value []byte, own string) []byte {
	if len(value) == 0 && own == "" {
		return dst
	}
	dst = append(dst, name...)
	if len(value) > 0 {
		dst = append(dst, value...)
	} else {
		dst = append(dst, own...)
	}
	return append(dst, "\r\n"...)
}

// nodeMax is more than the longest address with a port takes, in octets.
const nodeMax = 64

// parseNode reads an address with or without a port, or one of the words that stand in place of an
// address (RFC 7239, section 6): those are valid, and no address.
func parseNode(text []byte) (addr netip.Addr, valid bool) {
	switch {
	case len(text) == 0 || len(text) > nodeMax:
		return addr, false
	case wire.EqualFold(text, "unknown"):
		return addr, true
	case text[0] == '_':
		return addr, isWord(text)
	case text[0] == '[':
		host, port, found := bytes.Cut(text[1:], []byte{']'})
		if !found || len(port) > 0 && (port[0] != ':' || !isPort(port[1:])) {
			return addr, false
		}
		addr, valid = parseAddr(host)
		return addr, valid && addr.Is6()
	case bytes.Count(text, []byte{':'}) == 1:
		host, port, _ := bytes.Cut(text, []byte{':'})
		if !isPort(port) {
			return addr, false
		}
		text = host
	}
	return parseAddr(text)
}

func parseAddr(text []byte) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(string(text))
	if err != nil || addr.Zone() != "" {
		return netip.Addr{}, false
	}
	return addr.Unmap(), true
}

// isWord reports an obfuscated name or port: '_' and more.
func isWord(text []byte) bool {
	for _, c := range text {
		if !('0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return len(text) > 1 && text[0] == '_'
}

func isPort(text []byte) bool {
	if isWord(text) {
		return true
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return 0 < len(text) && len(text) <= 5
}
