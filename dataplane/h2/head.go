package h2

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/stead-io/stead/dataplane/wire"
)

// Violations that streams can show besides those of HTTP/1.1.
const (
	errMethod    = wire.SyntaxError("the method is not a token")
	errPath      = wire.SyntaxError(":path is neither a path without white space and control octets nor '*'")
	errAuthority = wire.SyntaxError(":authority is not a host with an optional port")
	errHost      = wire.SyntaxError("Host is not what :authority is")
	errField     = wire.SyntaxError("a field's name is no token, or its value holds a control octet")
	errForbidden = wire.SyntaxError("a field of HTTP/1.1's connections stands in a request of HTTP/2")
	errLength    = wire.SyntaxError("Content-Length is not one decimal number that the body has room for")
)

// methodsWithBody are those whose requests say that their body is empty (RFC 9110, section 8.6).
var methodsWithBody = []string{http.MethodPost, http.MethodPut, http.MethodPatch}

// appendHead writes the head of a request as HTTP/1.1 has it. What could be read as anything else than that request is
// an error, a SyntaxError. Fields of different names come in the order of their names.
func appendHead(dst []byte, r *http.Request) ([]byte, error) {
	target := r.RequestURI
	switch {
	case !wire.IsToken([]byte(r.Method)):
		return nil, errMethod
	case r.Method == http.MethodConnect && target != r.Host:
		return nil, errPath
	case r.Method != http.MethodConnect && !strings.HasPrefix(target, "/") && (target != "*" || r.Method != http.MethodOptions):
		return nil, errPath
	case !wire.IsTarget(target):
		return nil, errPath
	case !wire.IsAuthority(r.Host):
		return nil, errAuthority
	}
	dst = append(append(append(append(dst, r.Method...), ' '), target...), " HTTP/1.1\r\n"...)
	dst = appendField(dst, "Host", r.Host)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		var err error
		if dst, err = appendFields(dst, r, name); err != nil {
			return nil, err
		}
	}
	dst, err := appendFraming(dst, r)
	return append(dst, "\r\n"...), err
}

// appendFields writes the fields of one name, but for those that frame the body.
func appendFields(dst []byte, r *http.Request, name string) ([]byte, error) {
	values := r.Header[name]
	switch {
	case wire.EqualFold([]byte(name), "Content-Length"), wire.EqualFold([]byte(name), "Trailer"):
		return dst, nil
	case wire.EqualFold([]byte(name), "Host"):
		if len(values) != 1 || !strings.EqualFold(values[0], r.Host) {
			return nil, errHost
		}
		return dst, nil
	case wire.EqualFold([]byte(name), "TE"):
		if len(values) != 1 || values[0] != "trailers" {
			return nil, errForbidden
		}
		return append(dst, "Connection: TE\r\nTE: trailers\r\n"...), nil
	case forbidden(name):
		return nil, errForbidden
	case !wire.IsToken([]byte(name)):
		return nil, errField
	}
	for _, value := range values {
		if !wire.IsFieldValue(value) {
			return nil, errField
		}
		dst = appendField(dst, name, value)
	}
	return dst, nil
}

// forbidden reports the fields of a connection (RFC 9113, section 8.2.2), in whatever spelling.
func forbidden(name string) bool {
	return slices.ContainsFunc([]string{"Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade"}, func(of string) bool {
		return wire.SameName([]byte(name), of)
	})
}

// appendFraming says how long the body is. net/http holds the frames to a length that it could read; one that it could
// not is 0 here, as one is of a stream that ended with its head.
func appendFraming(dst []byte, r *http.Request) ([]byte, error) {
	values := r.Header["Content-Length"]
	said := int64(-1)
	if len(values) > 0 {
		length, err := strconv.ParseUint(values[0], 10, 63)
		if err != nil || len(values) > 1 {
			return nil, errLength
		}
		said = int64(length)
	}
	switch {
	case said >= 0 && said != r.ContentLength:
		return nil, errLength
	case r.ContentLength < 0:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
		return appendAnnounced(dst, r.Trailer)
	case said >= 0 || r.ContentLength > 0 || slices.Contains(methodsWithBody, r.Method):
		return appendField(dst, "Content-Length", strconv.FormatInt(r.ContentLength, 10)), nil
	}
	return dst, nil
}

// appendAnnounced names the trailers that the client has announced.
func appendAnnounced(dst []byte, trailers http.Header) ([]byte, error) {
	if len(trailers) == 0 {
		return dst, nil
	}
	names := slices.Sorted(maps.Keys(trailers))
	if slices.ContainsFunc(names, func(name string) bool { return !wire.IsToken([]byte(name)) }) {
		return nil, errField
	}
	return appendField(dst, "Trailer", strings.Join(names, ", ")), nil
}

func appendField(dst []byte, name, value string) []byte {
	dst = append(append(dst, name...), ": "...)
	return append(append(dst, value...), "\r\n"...)
}

// appendTrailers writes the trailers that came.
func appendTrailers(dst []byte, trailers http.Header) []byte {
	for _, name := range slices.Sorted(maps.Keys(trailers)) {
		for _, value := range trailers[name] {
			dst = appendField(dst, name, value)
		}
	}
	return dst
}
