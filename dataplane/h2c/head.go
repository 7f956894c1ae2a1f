package h2c

import (
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"

	"github.com/stead-io/stead/dataplane/forward"
	"github.com/stead-io/stead/dataplane/wire"
)

// newRequest makes of a request, as it goes to nodes in HTTP/1.1, one that net/http sends in HTTP/2, without its body.
func newRequest(r *forward.Request, scheme string) (*http.Request, error) {
	var head wire.Request
	if err := head.Parse(r.Head); err != nil {
		return nil, err
	}
	request := &http.Request{
		Method: string(head.Method), Host: string(head.Host), Header: make(http.Header, len(head.Fields)+1),
		URL: &url.URL{Scheme: scheme, Host: string(head.Host), Opaque: string(head.Target)},
	}
	if len(head.Target) > 1 && head.Target[1] == '/' {
		// A target that begins with // would be taken for a host; net/http cuts this one off again.
		request.URL.Opaque = "//" + request.Host + string(head.Target)
	}
	request.Header["User-Agent"] = nil // it would say who it is
	for i := range head.Fields {
		field := &head.Fields[i]
		switch field.Kind {
		case wire.Host, wire.Connection, wire.Hop, wire.ContentLength, wire.TransferEncoding, wire.Upgrade:
		default:
			request.Header.Add(string(field.Name), string(field.Value))
		}
	}
	if request.ContentLength = head.Length; head.Length == wire.Chunked {
		request.Trailer = make(http.Header) // filled in when they have come
	}
	request.Body = http.NoBody
	return request, nil
}

// appendAnswer writes the head of an answer as HTTP/1.1 has it; headOnly says that it answers HEAD. Fields come in the
// order of their names.
func appendAnswer(dst []byte, a *http.Response, headOnly bool) []byte {
	dst = appendStatus(dst, a.StatusCode)
	dst = appendFields(dst, a.Header)
	_, known := a.Header["Content-Length"]
	switch {
	case known || headOnly || a.StatusCode == http.StatusNoContent || a.StatusCode == http.StatusNotModified:
	case a.ContentLength == 0 || a.Body == http.NoBody:
		dst = append(dst, "Content-Length: 0\r\n"...)
	default:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	return append(dst, "\r\n"...)
}

func appendStatus(dst []byte, status int) []byte {
	dst = strconv.AppendInt(append(dst, "HTTP/1.1 "...), int64(status), 10)
	return append(append(append(dst, ' '), http.StatusText(status)...), "\r\n"...)
}

// appendFields writes fields, but for those of a connection: in HTTP/2 they have no meaning.
func appendFields(dst []byte, fields map[string][]string) []byte {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		switch name {
		case "Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade":
			continue
		}
		for _, value := range fields[name] {
			dst = append(append(dst, name...), ": "...)
			dst = append(append(dst, value...), "\r\n"...)
		}
	}
	return dst
}

// whole is a body that is all there. net/http may read on when the exchange is over, and what is there is another's.
type whole struct {
	mu     sync.Mutex
	octets []byte // those not read
	closed bool
}

func (w *whole) Read(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := copy(p, w.octets)
	w.octets = w.octets[n:]
	switch {
	case w.closed:
		return 0, errOver
	case n == 0:
		return 0, io.EOF
	default:
		return n, nil
	}
}

// Close lets go of the octets: nobody reads them from here on.
func (w *whole) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.octets, w.closed = nil, true
	return nil
}
