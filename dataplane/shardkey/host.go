package shardkey

import (
	"bytes"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/dataplane/wire"
)

// fromHost reads a key out of the name in Host. Letters of either case are one name (RFC 9110,
// section 4.2.3), so a host key is decoded into lower case; the port is no part of it.
func (r *Request) fromHost(rule *api.KeyRule) (key []byte, applies bool, problem *api.Problem) {
	var host []byte
	for i := range r.Headers.Len() {
		name, value := r.Headers.At(i)
		if !wire.EqualFold(name, "Host") {
			continue
		}
		if host != nil {
			return nil, true, bad("Host stands twice")
		}
		host = value
	}
	name, port, _ := bytes.Cut(host, []byte{':'})
	undotted := bytes.TrimSuffix(name, []byte{'.'})
	labels, found := cutDomain(undotted, rule.Suffix)
	switch {
	case !found, len(labels) == 0, !rule.Rest && bytes.IndexByte(labels, '.') >= 0:
		return nil, false, nil
	case len(undotted) < len(name):
		return nil, true, bad("the name in Host ends in a dot")
	case !isPort(port):
		return nil, true, bad("Host is not a name with an optional port")
	}
	return r.lowered(labels, rule)
}

// cutDomain takes a suffix off a name, in whatever case it is there.
func cutDomain(name []byte, suffix string) (labels []byte, found bool) {
	split := len(name) - len(suffix)
	if split < 0 || !wire.EqualFold(name[split:], suffix) {
		return nil, false
	}
	return name[:split], true
}

func isPort(text []byte) bool {
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// lowered writes labels in lower case into the request's own array. Only octets of host names pass:
// percent-coding or an address in brackets would be a second spelling.
func (r *Request) lowered(labels []byte, rule *api.KeyRule) (key []byte, applies bool, problem *api.Problem) {
	if len(labels) > len(r.decoded) {
		return nil, true, tooLong(rule)
	}
	previous := byte('.')
	for i, c := range labels {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		letterOrDigit := 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		if !letterOrDigit && c != '-' && c != '_' && (c != '.' || previous == '.') {
			return nil, true, bad("%s is not made of labels of letters, digits, - and _", where(rule))
		}
		r.decoded[i], previous = c, c
	}
	return checked(r.decoded[:len(labels)], rule)
}
