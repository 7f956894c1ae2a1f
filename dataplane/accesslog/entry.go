package accesslog

import (
	"bytes"
	"net/netip"
	"strconv"
	"time"
)

// Entry is what there is to say about a request. What is unknown is left empty.
type Entry struct {
	Time     time.Time // when its head had come
	Duration time.Duration
	Client   netip.Addr
	Method   []byte // nil: it was no request
	Target   []byte
	Minor    int  // of HTTP/1.Minor
	HTTP2    bool // it came in HTTP/2
	Status   int  // 0: it got no answer
	Problem  string
	Cut      bool // its answer was cut short

	// In and Out are octets as they were received and sent, BodyOut those behind the head of the answer.
	In, Out, BodyOut int64

	Node      string
	Keyed     bool // it has a key, and so a slot
	Slot      uint16
	RequestID []byte
	// Retries counts how often it was sent again, Moved how often for an answer 421.
	Retries, Moved int

	Referer, UserAgent []byte
}

// protocolHTTP2 is what logs call HTTP/2.
const protocolHTTP2 = "HTTP/2.0"

// Forms of a time.
const (
	timeJSON     = "2006-01-02T15:04:05.000Z"
	timeCombined = "02/Jan/2006:15:04:05 -0700"
)

func (e *Entry) appendJSON(dst []byte) []byte {
	dst = append(dst, `{"time":"`...)
	dst = e.Time.UTC().AppendFormat(dst, timeJSON)
	dst = append(dst, `","client":"`...)
	if e.Client.IsValid() {
		dst = e.Client.AppendTo(dst)
	}
	dst = append(dst, '"')
	dst = appendText(dst, "method", e.Method)
	dst = appendText(dst, "target", e.Target)
	if e.HTTP2 {
		dst = appendText(dst, "protocol", protocolHTTP2)
	}
	dst = appendNumber(dst, "status", int64(e.Status))
	dst = appendText(dst, "problem", e.Problem)
	dst = appendNumber(dst, "octets_in", e.In)
	dst = appendNumber(dst, "octets_out", e.Out)
	dst = append(dst, `,"duration_seconds":`...)
	dst = strconv.AppendFloat(dst, e.Duration.Seconds(), 'f', 6, 64)
	if e.Keyed {
		dst = appendNumber(dst, "slot", int64(e.Slot))
	}
	dst = appendText(dst, "node", e.Node)
	dst = appendText(dst, "request_id", e.RequestID)
	dst = appendNumber(dst, "retries", int64(e.Retries))
	dst = appendNumber(dst, "moved", int64(e.Moved))
	if e.Cut {
		dst = append(dst, `,"cut":true`...)
	}
	return append(dst, "}\n"...)
}

func appendNumber(dst []byte, name string, value int64) []byte {
	dst = append(append(append(dst, `,"`...), name...), `":`...)
	return strconv.AppendInt(dst, value, 10)
}

// appendText writes a member unless it is empty. Octets past ASCII are written as the code points of their
// number: nobody has said what text they are.
func appendText[T string | []byte](dst []byte, name string, value T) []byte {
	if len(value) == 0 {
		return dst
	}
	dst = append(append(append(dst, `,"`...), name...), `":"`...)
	return append(appendEscaped(dst, value, `\u00`), '"')
}

// appendCombined writes the format that Apache and nginx call combined.
func (e *Entry) appendCombined(dst []byte, whole bool) []byte {
	if e.Client.IsValid() {
		dst = e.Client.AppendTo(dst)
	} else {
		dst = append(dst, '-')
	}
	dst = append(dst, " - - ["...)
	dst = e.Time.UTC().AppendFormat(dst, timeCombined)
	dst = append(dst, `] "`...)
	if e.Method == nil {
		dst = append(dst, '-')
	} else {
		dst = append(appendEscaped(dst, e.Method, `\x`), ' ')
		dst = append(appendEscaped(dst, e.Target, `\x`), ' ')
		if e.HTTP2 {
			dst = append(dst, protocolHTTP2...)
		} else {
			dst = strconv.AppendInt(append(dst, "HTTP/1."...), int64(e.Minor), 10)
		}
	}
	dst = strconv.AppendInt(append(dst, `" `...), int64(e.Status), 10)
	dst = strconv.AppendInt(append(dst, ' '), e.BodyOut, 10)
	referer := e.Referer
	if !whole {
		referer = site(referer)
	}
	dst = appendQuoted(dst, referer)
	dst = appendQuoted(dst, e.UserAgent)
	return append(dst, '\n')
}

func appendQuoted(dst, value []byte) []byte {
	dst = append(dst, ` "`...)
	if len(value) == 0 {
		dst = append(dst, '-')
	}
	return append(appendEscaped(dst, value, `\x`), '"')
}

// site is a URL without its path, in which there may be a key; nil if there is none.
func site(url []byte) []byte {
	scheme, rest, found := bytes.Cut(url, []byte("://"))
	if !found || bytes.ContainsAny(scheme, "/?#@") {
		return nil
	}
	if end := bytes.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	if at := bytes.IndexByte(rest, '@'); at >= 0 {
		return nil // a name and password
	}
	return url[:len(scheme)+len("://")+len(rest)]
}

const hex = "0123456789abcdef"

// appendEscaped writes text for between quotes: visible ASCII as it is, anything else by its number.
func appendEscaped[T string | []byte](dst []byte, text T, escape string) []byte {
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ' || c >= 0x7F:
			dst = append(append(dst, escape...), hex[c>>4], hex[c&0xF])
		default:
			dst = append(dst, c)
		}
	}
	return dst
}
