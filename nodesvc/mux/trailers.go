package mux

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strings"

	"github.com/stead-io/stead/api/frames"
)

// errTrailersTooLong: what a handler left to stand behind its answer is more than may.
var errTrailersTooLong = fmt.Errorf("the trailers of the answer are longer than %d octets", frames.TrailersMax)

// trailers are what a handler wants behind the body of its answer, in either of net/http's ways: named in Trailer
// before the head is written, or by http.TrailerPrefix, be it later.
type trailers struct {
	named     []string // in Trailer, in their canonical form
	announced bool     // Trailer stands in the head
	expected  bool     // before the head was written there were some
}

// take notes what the head says of trailers. They come behind a body whose length is not announced.
func (t *trailers) take(header http.Header) {
	for name := range header {
		t.expected = t.expected || strings.HasPrefix(name, http.TrailerPrefix)
	}
	for _, value := range header["Trailer"] {
		t.announced, t.expected = true, true
		for name := range strings.SplitSeq(value, ",") {
			if name = textproto.TrimString(name); name != "" {
				t.named = append(t.named, http.CanonicalHeaderKey(name))
			}
		}
	}
}

// lines are the trailers that there are in the end, as whole lines.
func (t *trailers) lines(header http.Header) []byte {
	var set http.Header
	add := func(name string, values []string) {
		if set == nil {
			set = make(http.Header)
		}
		set[name] = append(set[name], values...)
	}
	for name, values := range header {
		if bare, late := strings.CutPrefix(name, http.TrailerPrefix); late {
			add(bare, values)
		}
	}
	for _, name := range t.named {
		if values := header[name]; len(values) > 0 {
			add(name, values)
		}
	}
	if set == nil {
		return nil
	}
	var lines bytes.Buffer
	_ = set.Write(&lines)
	return lines.Bytes()
}

// appendEnd writes what ends an answer whose head is in line.
func appendEnd(queue []byte, id uint64, trailers []byte) []byte {
	if len(trailers) > 0 {
		return frames.AppendTrailers(queue, id, trailers)
	}
	return frames.AppendData(queue, id, frames.End, nil)
}

// takeTrailers gives the request what came behind its body.
func takeTrailers(r *http.Request, lines []byte) error {
	source := io.MultiReader(bytes.NewReader(lines), strings.NewReader("\r\n"))
	fields, err := textproto.NewReader(bufio.NewReader(source)).ReadMIMEHeader()
	if err != nil {
		return fmt.Errorf("cannot read trailers: %w", err)
	}
	if !clean(http.Header(fields)) {
		return fmt.Errorf("cannot read trailers: a field holds what none may")
	}
	if r.Trailer == nil {
		r.Trailer = make(http.Header, len(fields))
	}
	for name, values := range fields {
		r.Trailer[name] = values
	}
	return nil
}
