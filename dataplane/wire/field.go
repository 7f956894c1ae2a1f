package wire

import "bytes"

// Kind sorts header fields by what a proxy must do with them.
type Kind uint8

const (
	// Other fields belong to the two ends and are forwarded as they stand.
	Other Kind = iota
	// Hop fields belong to one connection (RFC 9110, section 7.6.1) and are never forwarded.
	Hop
	// Connection names further fields that belong to one connection.
	Connection
	// ContentLength and TransferEncoding frame the body; each hop writes its own.
	ContentLength
	TransferEncoding
	// Host is the authority a request is for.
	Host
	// Expect asks for an interim answer before the body.
	Expect
	// Upgrade asks for another protocol on this connection.
	Upgrade
	// TE says what the sender takes on this connection: trailers, for one.
	TE
	// Trailer names the fields that come behind a body in chunks.
	Trailer
	// Stead fields are between the proxy and its nodes only.
	Stead

	// From here on fields belong to the two ends, as Other does, but the proxy has a say in them.
	// ForwardedFor, ForwardedProto and ForwardedHost are X-Forwarded-For and so on; Forwarded is that of
	// RFC 7239. They say who asked whom for what, and are worth as much as whoever sent them.
	ForwardedFor
	ForwardedProto
	ForwardedHost
	Forwarded
	// ForwardedOther is whatever else begins with X-Forwarded or X-Real-IP.
	ForwardedOther
	// ForwardedAlias could be taken for one of the former: it is spelled with another mark than '-'.
	ForwardedAlias
	// RequestID is X-Request-Id, in any spelling.
	RequestID
	// Via names those that a message came through.
	Via
	// TraceParent and TraceState say which trace a request is part of (W3C Trace Context).
	TraceParent
	TraceState
)

// Kinds is a set of kinds.
type Kinds uint32

// KindsOf makes a set.
func KindsOf(kinds ...Kind) (set Kinds) {
	for _, kind := range kinds {
		set |= 1 << kind
	}
	return set
}

// Has reports whether a kind is in the set.
func (s Kinds) Has(kind Kind) bool { return s>>kind&1 != 0 }

// Field is one header field of a head.
type Field struct {
	Kind  Kind
	Name  []byte
	Value []byte // without the white space around it
	Line  []byte // the whole line byte for byte, CRLF included
}

// Is reports whether the field's name is the one given, by SameName.
func (f *Field) Is(name string) bool { return SameName(f.Name, name) }

// SyntaxError says which rule of the grammar a message breaks.
type SyntaxError string

func (e SyntaxError) Error() string { return string(e) }

// Violations that both requests and answers can show.
const (
	errBareLF         = SyntaxError("a line of the head ends in LF without CR")
	errObsFold        = SyntaxError("a header line begins with white space (obs-fold)")
	errNoColon        = SyntaxError("a header line has no colon")
	errFieldName      = SyntaxError("a header name holds an octet that is not a token's")
	errFieldValue     = SyntaxError("a header value holds a control octet")
	errEndOfHead      = SyntaxError("the head does not end in an empty line")
	errLengthTwice    = SyntaxError("Content-Length is repeated")
	errLengthValue    = SyntaxError("Content-Length is not one decimal number")
	errLengthAlias    = SyntaxError("a header name could be taken for Content-Length or Transfer-Encoding")
	errCodingTwice    = SyntaxError("Transfer-Encoding is repeated")
	errCodingValue    = SyntaxError("Transfer-Encoding is not exactly chunked")
	errCodingLength   = SyntaxError("Content-Length and Transfer-Encoding are both present")
	errConnectionLong = SyntaxError("Connection has too many elements")
	errCodingOld      = SyntaxError("Transfer-Encoding in an HTTP/1.0 message")
)

// HeadLength is the length of the head that data begins with, its empty line included; 0 while it
// is incomplete. Heads that end in bare LFs are found too, for Parse to refuse.
func HeadLength(data []byte) int {
	for at := 0; ; {
		i := bytes.IndexByte(data[at:], '\n')
		if i < 0 {
			return 0
		}
		at += i + 1
		switch {
		case at < len(data) && data[at] == '\n':
			return at + 1
		case at+1 < len(data) && data[at] == '\r' && data[at+1] == '\n':
			return at + 2
		}
	}
}

// cutLine splits off the first line, its CRLF removed.
func cutLine(data []byte) (line, rest []byte, err error) {
	i := bytes.IndexByte(data, '\n')
	if i < 0 {
		return nil, nil, errEndOfHead
	}
	if i == 0 || data[i-1] != '\r' {
		return nil, nil, errBareLF
	}
	return data[:i-1], data[i+1:], nil
}

// cutField splits off the first header field; done reports the empty line that ends the head.
func cutField(data []byte) (field Field, rest []byte, done bool, err error) {
	line, rest, err := cutLine(data)
	if err != nil {
		return Field{}, nil, false, err
	}
	if len(line) == 0 {
		if len(rest) > 0 {
			return Field{}, nil, false, errEndOfHead
		}
		return Field{}, nil, true, nil
	}
	if line[0] == ' ' || line[0] == '\t' {
		return Field{}, nil, false, errObsFold
	}
	colon := bytes.IndexByte(line, ':')
	if colon < 0 {
		return Field{}, nil, false, errNoColon
	}
	field = Field{Name: line[:colon], Value: trim(line[colon+1:]), Line: data[:len(line)+2]}
	if !isToken(field.Name) {
		return Field{}, nil, false, errFieldName
	}
	if !isFieldValue(field.Value) {
		return Field{}, nil, false, errFieldValue
	}
	field.Kind = kindOf(field.Name)
	return field, rest, false, nil
}

// known lists the names that are not Other, by their length: most names differ there.
var known = [...][]struct {
	name string
	kind Kind
}{
	2:  {{"te", TE}},
	3:  {{"via", Via}},
	4:  {{"host", Host}},
	6:  {{"expect", Expect}},
	7:  {{"trailer", Trailer}, {"upgrade", Upgrade}},
	9:  {{"forwarded", Forwarded}},
	10: {{"connection", Connection}, {"keep-alive", Hop}, {"tracestate", TraceState}},
	11: {{"traceparent", TraceParent}},
	12: {{"x-request-id", RequestID}},
	14: {{"content-length", ContentLength}},
	15: {{"x-forwarded-for", ForwardedFor}},
	16: {{"proxy-connection", Hop}, {"x-forwarded-host", ForwardedHost}},
	17: {{"transfer-encoding", TransferEncoding}, {"x-forwarded-proto", ForwardedProto}},
	18: {{"proxy-authenticate", Hop}},
	19: {{"proxy-authorization", Hop}},
}

// Prefixes of names that are of one kind.
const (
	steadPrefix     = "stead-"
	forwardedPrefix = "x-forwarded"
	realIPPrefix    = "x-real-ip"
)

func kindOf(name []byte) Kind {
	kind := Other
	if len(name) < len(known) {
		for _, candidate := range known[len(name)] {
			if SameName(name, candidate.name) {
				kind = candidate.kind
			}
		}
	}
	switch {
	case kind == Other && begins(name, steadPrefix):
		return Stead
	case kind == Other && (begins(name, forwardedPrefix) || begins(name, realIPPrefix)):
		kind = ForwardedOther
	}
	if ForwardedFor <= kind && kind <= ForwardedOther && isAlias(name) {
		return ForwardedAlias
	}
	return kind
}

func begins(name []byte, prefix string) bool {
	return len(name) >= len(prefix) && SameName(name[:len(prefix)], prefix)
}
