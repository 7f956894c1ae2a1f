package dataplane

import (
	"bufio"
	"bytes"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"
)

// readingMax is as long as the octets may be that are read here.
const readingMax = 64 << 10

// reading is a request as some parser sees it.
type reading struct {
	method, target, host, body string
	fields                     map[string][]string // by names in small letters; trailers too, but nothing of framing
}

func (r *reading) equal(other *reading) bool {
	return r.method == other.method && r.target == other.target && r.host == other.host && r.body == other.body &&
		maps.EqualFunc(r.fields, other.fields, slices.Equal)
}

// add takes a field, unless it frames the message or belongs to the connection. Of some that must stand but once
// fasthttp takes the last.
func (r *reading) add(name, value string) {
	name, value = strings.ToLower(name), strings.Trim(value, " \t")
	switch name {
	case "host", "content-length", "transfer-encoding", "trailer", "connection", "te", "cookie":
	case "content-type", "user-agent":
		if delete(r.fields, name); value != "" {
			r.fields[name] = []string{value}
		}
	default:
		r.fields[name] = append(r.fields[name], value)
	}
}

// readingOf reads what net/http has begun to read.
func readingOf(request *http.Request) (reading, error) {
	body, err := io.ReadAll(request.Body)
	r := reading{method: request.Method, target: request.RequestURI, host: request.Host, body: string(body), fields: make(map[string][]string)}
	for _, lines := range []http.Header{request.Header, request.Trailer} {
		for name, values := range lines {
			for _, value := range values {
				r.add(name, value)
			}
		}
	}
	if cookies := request.Header["Cookie"]; len(cookies) > 0 {
		r.fields["cookie"] = cookies[:1]
	}
	return r, err
}

// byNetHTTP reads one request of net/http's after another; rest is what it leaves, and err why.
func byNetHTTP(octets []byte) (requests []reading, rest []byte, err error) {
	return readAll(octets, func(reader *bufio.Reader) (reading, error) {
		request, err := http.ReadRequest(reader)
		if err != nil {
			return reading{}, err
		}
		return readingOf(request)
	})
}

// byFastHTTP is byNetHTTP with fasthttp's parser.
func byFastHTTP(octets []byte) (requests []reading, rest []byte, err error) {
	return readAll(octets, func(reader *bufio.Reader) (reading, error) {
		var request fasthttp.Request
		if err := request.Header.Read(reader); err != nil {
			return reading{}, err
		}
		if err := request.ContinueReadBody(reader, 0, false); err != nil {
			return reading{}, err
		}
		head := &request.Header
		r := reading{
			method: string(head.Method()), target: string(head.RequestURI()), host: string(head.Host()),
			body: string(request.Body()), fields: make(map[string][]string),
		}
		cookie := head.Peek("Cookie") // before All makes them anew
		if cookie != nil {
			r.fields["cookie"] = []string{strings.Trim(string(cookie), " \t")}
		}
		for name, value := range head.All() {
			r.add(string(name), string(value))
		}
		return r, nil
	})
}

func readAll(octets []byte, next func(*bufio.Reader) (reading, error)) (requests []reading, rest []byte, err error) {
	source := bytes.NewReader(octets)
	for reader := bufio.NewReaderSize(source, readingMax); ; {
		rest = octets[len(octets)-source.Len()-reader.Buffered():]
		if len(rest) == 0 {
			return requests, nil, nil
		}
		request, err := next(reader)
		if err != nil {
			return requests, rest, err
		}
		requests = append(requests, request)
	}
}

// masked has no percent-coding, by which net/http would read a URL or find none.
func masked(text string) string { return strings.ReplaceAll(text, "%", "_") }

// asked is what net/http finds in a client's octets, masked, targets as they are forwarded. It is the more lenient
// reader, but for an empty line before a request.
func asked(octets []byte) []reading {
	requests, _, _ := readAll([]byte(masked(string(octets))), func(reader *bufio.Reader) (reading, error) {
		if first, _ := reader.Peek(2); string(first) == "\r\n" {
			_, _ = reader.Discard(2)
		}
		request, err := http.ReadRequest(reader)
		if err != nil {
			return reading{}, err
		}
		r, err := readingOf(request)
		r.target = inOriginForm(r.method, r.target)
		return r, err
	})
	return requests
}

// inOriginForm takes scheme and authority off a target (RFC 9112, section 3.2.2).
func inOriginForm(method, target string) string {
	if strings.HasPrefix(target, "/") {
		return target
	}
	_, behind, absolute := strings.Cut(target, "://")
	if !absolute {
		return target
	}
	if slash := strings.IndexByte(behind, '/'); slash >= 0 {
		return behind[slash:]
	}
	if method == http.MethodOptions {
		return "*"
	}
	return "/"
}
