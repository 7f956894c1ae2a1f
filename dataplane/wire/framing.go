package wire

// Lengths of a body other than a number of octets.
const (
	Chunked    = -1 // framed by chunks
	UntilClose = -2 // an answer that ends with its connection
)

// lengthDigitsMax keeps a length within an int64 and far from its end.
const lengthDigitsMax = 18

// optionsMax is how many names Connection may have: each field is compared with all of them.
const optionsMax = 32

// Head is what requests and answers have in common.
type Head struct {
	Minor  int // HTTP/1.Minor
	Fields []Field
	// Length of the body that follows: octets, Chunked or UntilClose.
	Length int64
	// HasLength: Content-Length is present.
	HasLength bool
	// Close and KeepAlive: Connection says so.
	Close, KeepAlive bool

	options  [][]byte // of Connection
	names    bool     // Connection names fields
	upgrades bool     // Connection names Upgrade
	coded    bool     // Transfer-Encoding is present
}

func (h *Head) reset() { *h = Head{Fields: h.Fields[:0], options: h.options[:0]} }

// fields reads the header fields up to the empty line that ends the head.
func (h *Head) fields(rest []byte) error {
	for {
		field, next, done, err := cutField(rest)
		if err != nil {
			return err
		}
		if done {
			break
		}
		h.Fields = append(h.Fields, field)
		if err := h.take(&h.Fields[len(h.Fields)-1]); err != nil {
			return err
		}
		rest = next
	}
	if h.coded && h.HasLength {
		return errCodingLength
	}
	if h.coded && h.Minor == 0 {
		return errCodingOld
	}
	return nil
}

func (h *Head) take(field *Field) error {
	switch field.Kind {
	case ContentLength:
		return h.takeLength(field)
	case TransferEncoding:
		return h.takeCoding(field)
	case Connection:
		return h.takeConnection(field.Value)
	}
	return nil
}

func (h *Head) takeLength(field *Field) error {
	if isAlias(field.Name) {
		return errLengthAlias
	}
	if h.HasLength {
		return errLengthTwice
	}
	if len(field.Value) == 0 || len(field.Value) > lengthDigitsMax {
		return errLengthValue
	}
	for _, c := range field.Value {
		if c < '0' || c > '9' {
			return errLengthValue
		}
		h.Length = h.Length*10 + int64(c-'0')
	}
	h.HasLength = true
	return nil
}

func (h *Head) takeCoding(field *Field) error {
	switch {
	case isAlias(field.Name):
		return errLengthAlias
	case h.coded:
		return errCodingTwice
	case !EqualFold(field.Value, "chunked"):
		return errCodingValue
	}
	h.coded = true
	h.Length = Chunked
	return nil
}

func (h *Head) takeConnection(list []byte) error {
	for len(list) > 0 {
		var option []byte
		option, list = cutItem(list)
		switch {
		case len(option) == 0:
			continue
		case EqualFold(option, "close"):
			h.Close = true
		case EqualFold(option, "keep-alive"):
			h.KeepAlive = true
		case EqualFold(option, "upgrade"):
			h.upgrades = true
		default:
			h.names = true
		}
		if h.options = append(h.options, option); len(h.options) > optionsMax {
			return errConnectionLong
		}
	}
	return nil
}

// Upgrades reports whether Connection names Upgrade, without which that field means nothing (RFC 9110, section 7.8).
func (h *Head) Upgrades() bool { return h.upgrades }

// Len counts the fields.
func (h *Head) Len() int { return len(h.Fields) }

// At returns name and value of a field.
func (h *Head) At(i int) (name, value []byte) { return h.Fields[i].Name, h.Fields[i].Value }

// Persists reports whether the connection stays open behind this message, as far as its sender is
// concerned.
func (h *Head) Persists() bool {
	return !h.Close && (h.Minor == 1 || h.KeepAlive)
}

// HopByHop reports whether a field must not be forwarded as it stands: it belongs to the
// connection, frames the message, is named by Connection, or is Stead's own. Host always passes, and
// Trailer with a body that trailers can follow.
func (h *Head) HopByHop(field *Field) bool {
	switch {
	case field.Kind == Host:
		return false
	case field.Kind == Other || field.Kind >= ForwardedFor:
		return h.names && h.Names(field.Name)
	case field.Kind == Trailer:
		return h.Length != Chunked || !trailersOnly(field.Value) || h.names && h.Names(field.Name)
	default:
		return true
	}
}

// NamesFields reports whether Connection names any fields.
func (h *Head) NamesFields() bool { return h.names }

// Names reports whether Connection names the field.
func (h *Head) Names(name []byte) bool {
	for _, option := range h.options {
		if SameName(option, name) {
			return true
		}
	}
	return false
}
