package wire

// errTrailerField is the violation of a field that is none to come late, and of a Trailer that announces one.
const errTrailerField = SyntaxError("a trailer is no field, or one that must stand in the head")

// early lists the fields, besides those that have a Kind, that a recipient must know before the body or that
// speak of more than the body (RFC 9110, section 6.5.1; RFC 7230, section 4.1.2): who takes trailers for
// headers would be misled by them. By their length.
var early = [...][]string{
	3:  {"age"},
	4:  {"date", "vary"},
	5:  {"range"},
	6:  {"cookie", "pragma"},
	7:  {"expires", "warning"},
	8:  {"location"},
	10: {"set-cookie"},
	11: {"retry-after"},
	12: {"content-type", "max-forwards"},
	13: {"authorization", "cache-control", "content-range"},
	16: {"content-encoding", "www-authenticate"},
}

// earlyPrefixes begin the names of further such fields.
var earlyPrefixes = [...]string{"if-"}

// mayTrail reports whether a field may stand behind a body.
func mayTrail(name []byte) bool {
	if kindOf(name) != Other {
		return false
	}
	if len(name) < len(early) {
		for _, other := range early[len(name)] {
			if SameName(name, other) {
				return false
			}
		}
	}
	for _, prefix := range earlyPrefixes {
		if len(name) >= len(prefix) && SameName(name[:len(prefix)], prefix) {
			return false
		}
	}
	return true
}

// trailersOnly reports whether a list, the value of Trailer, names nothing but fields that may stand there.
func trailersOnly(list []byte) bool {
	return listed(list, func(name []byte) bool { return isToken(name) && mayTrail(name) })
}

// listed reports whether each name in a list may stand there.
func listed(list []byte, may func(name []byte) bool) bool {
	for len(list) > 0 {
		var name []byte
		if name, list = cutItem(list); len(name) > 0 && !may(name) {
			return false
		}
	}
	return true
}

// lists reports whether a list has an element, which may have parameters.
func lists(list []byte, element string) bool {
	for len(list) > 0 {
		var item []byte
		item, list = cutItem(list)
		for i, c := range item {
			if c == ';' {
				item = trim(item[:i])
				break
			}
		}
		if EqualFold(item, element) {
			return true
		}
	}
	return false
}

// CheckAnnounced refuses a head whose Trailer announces a field that the caller may not have late; nil: it may have
// all that Parse lets pass. The error is a SyntaxError.
func (h *Head) CheckAnnounced(may func(name []byte) bool) error {
	for i := range h.Fields {
		if field := &h.Fields[i]; field.Kind == Trailer && may != nil && !listed(field.Value, may) {
			return errTrailerField
		}
	}
	return nil
}

// CheckTrailers refuses lines, as Chunks has them, with a field that must stand in the head, or that the
// caller may not have late either. The error is a SyntaxError.
func CheckTrailers(lines []byte, may func(name []byte) bool) error {
	return eachTrailer(lines, func(name []byte) bool { return mayTrail(name) && (may == nil || may(name)) })
}

// CheckTrailerLines refuses what are no whole lines of fields, whatever they are called. The error is a SyntaxError.
func CheckTrailerLines(lines []byte) error {
	return eachTrailer(lines, func([]byte) bool { return true })
}

func eachTrailer(lines []byte, may func(name []byte) bool) error {
	for len(lines) > 0 {
		field, rest, done, err := cutField(lines)
		if err != nil {
			return err
		}
		if done {
			return errTrailer
		}
		if !may(field.Name) {
			return errTrailerField
		}
		lines = rest
	}
	return nil
}

// AppendTrailers appends the lines, as Chunks has them, that may be passed on: not those that must stand in
// the head, nor what the head's Connection names.
func AppendTrailers(dst, lines []byte, head *Head) []byte {
	for len(lines) > 0 {
		field, rest, done, err := cutField(lines)
		if err != nil || done {
			break
		}
		if mayTrail(field.Name) && !(head.names && head.Names(field.Name)) {
			dst = append(dst, field.Line...)
		}
		lines = rest
	}
	return dst
}

// EachTrailer calls do for each field of lines, as Chunks has them. The error is a SyntaxError.
func EachTrailer(lines []byte, do func(name, value []byte)) error {
	for len(lines) > 0 {
		field, rest, done, err := cutField(lines)
		if err != nil {
			return err
		}
		if done {
			return errTrailer
		}
		do(field.Name, field.Value)
		lines = rest
	}
	return nil
}
