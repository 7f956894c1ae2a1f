package wire

import "bytes"

// Violations of requests.
const (
	errRequestLine   = SyntaxError("the request line is not method, target and HTTP/1.0 or HTTP/1.1, one space apart")
	errMethod        = SyntaxError("the method is not a token")
	errTarget        = SyntaxError("the request target holds white space, a control octet or '#'")
	errTargetForm    = SyntaxError("the request target is neither a path nor an absolute http URL")
	errHostMissing   = SyntaxError("Host is missing")
	errHostTwice     = SyntaxError("Host is repeated")
	errHostValue     = SyntaxError("Host is not a host with an optional port")
	errHostTarget    = SyntaxError("the request target names another host than Host")
	errExpectUnknown = SyntaxError("Expect asks for something other than 100-continue")
)

// Request is the head of a request. Its slices are parts of what was parsed.
type Request struct {
	Head
	Method []byte
	// Target is what is forwarded: the path and query as sent, or "*". An absolute target leaves
	// its path here; a CONNECT request leaves its authority.
	Target []byte
	Host   []byte // empty only in HTTP/1.0, where the target names no other
	// Continue: the client waits for 100 (Continue) before it sends the body.
	Continue bool
	// Upgrade is the protocol the client wants to change to; empty if it does not.
	Upgrade []byte
	// TakesTrailers: the client says that trailers of the answer are not lost on it.
	TakesTrailers bool

	hostSeen  bool
	authority []byte // of an absolute target
	scheme    []byte
}

// Parse reads a whole head, as HeadLength measured it. The error is a SyntaxError.
func (r *Request) Parse(head []byte) error {
	*r = Request{Head: r.Head}
	r.reset()
	line, rest, err := cutLine(head)
	if err != nil {
		return err
	}
	if err := r.requestLine(line); err != nil {
		return err
	}
	if err := r.fields(rest); err != nil {
		return err
	}
	for i := range r.Fields {
		if err := r.takeField(&r.Fields[i]); err != nil {
			return err
		}
	}
	return r.checkHost()
}

func (r *Request) requestLine(line []byte) error {
	method, rest, found := bytes.Cut(line, []byte{' '})
	target, version, foundToo := bytes.Cut(rest, []byte{' '})
	if !found || !foundToo || len(version) != len("HTTP/1.x") || string(version[:7]) != "HTTP/1." {
		return errRequestLine
	}
	switch version[7] {
	case '0':
	case '1':
		r.Minor = 1
	default:
		return errRequestLine
	}
	if !isToken(method) {
		return errMethod
	}
	if len(target) == 0 || !all(target, inTarget) {
		return errTarget
	}
	r.Method = method
	return r.target(target)
}

// target tells the four forms apart (RFC 9112, section 3.2).
func (r *Request) target(target []byte) error {
	switch {
	case r.IsConnect():
		r.Target = target
	case target[0] == '/':
		r.Target = target
	case string(target) == "*" && string(r.Method) == "OPTIONS":
		r.Target = target
	default:
		return r.absoluteTarget(target)
	}
	return nil
}

func (r *Request) absoluteTarget(target []byte) error {
	scheme, rest, found := bytes.Cut(target, []byte("://"))
	if !found || !EqualFold(scheme, "http") && !EqualFold(scheme, "https") {
		return errTargetForm
	}
	end := bytes.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	r.scheme, r.authority = scheme, rest[:end]
	if !isAuthority(r.authority) {
		return errTargetForm
	}
	switch path := rest[end:]; {
	case len(path) > 0 && path[0] == '?':
		// A query without a path would have to be rewritten to be forwarded.
		return errTargetForm
	case len(path) > 0:
		r.Target = path
	case string(r.Method) == "OPTIONS":
		r.Target = []byte("*")
	default:
		r.Target = []byte("/")
	}
	return nil
}

func (r *Request) takeField(field *Field) error {
	switch field.Kind {
	case Host:
		if r.hostSeen {
			return errHostTwice
		}
		r.hostSeen = true
		if len(field.Value) > 0 && !isAuthority(field.Value) {
			return errHostValue
		}
		r.Host = field.Value
	case Expect:
		if !EqualFold(field.Value, "100-continue") {
			return errExpectUnknown
		}
		r.Continue = r.Minor == 1 && r.Length != 0
	case Upgrade:
		if r.upgrades {
			r.Upgrade = field.Value
		}
	case Trailer:
		if !trailersOnly(field.Value) {
			return errTrailerField
		}
	case TE:
		if r.Minor == 1 && lists(field.Value, "trailers") && r.Names(field.Name) {
			r.TakesTrailers = true
		}
	}
	return nil
}

func (r *Request) checkHost() error {
	if len(r.Host) == 0 && (r.Minor == 1 || r.hostSeen || r.authority != nil) {
		return errHostMissing
	}
	if r.authority == nil {
		return nil
	}
	port := ":80"
	if EqualFold(r.scheme, "https") {
		port = ":443"
	}
	if !EqualFold(withoutPort(r.authority, port), withoutPort(r.Host, port)) {
		return errHostTarget
	}
	return nil
}

func withoutPort(authority []byte, port string) []byte {
	return bytes.TrimSuffix(authority, []byte(port))
}

// IsConnect reports a CONNECT request, which asks for a tunnel and not for a resource.
func (r *Request) IsConnect() bool { return string(r.Method) == "CONNECT" }

// IsHead reports a HEAD request, whose answer has no body whatever its head says.
func (r *Request) IsHead() bool { return string(r.Method) == "HEAD" }

// Safe reports whether the method asks for no change (RFC 9110, section 9.2.1).
func (r *Request) Safe() bool {
	switch string(r.Method) {
	case "GET", "HEAD", "OPTIONS", "TRACE":
		return true
	default:
		return false
	}
}
