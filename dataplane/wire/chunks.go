package wire

// Bounds on what frames a chunked body: without them a sender could keep a reader busy with
// framing alone.
const (
	chunkDigitsMax    = 15 // of a chunk size
	chunkExtensionMax = 256
	trailersMax       = 8 << 10
)

// Violations of chunked framing.
const (
	errChunkSize      = SyntaxError("a chunk size is not a hexadecimal number")
	errChunkExtension = SyntaxError("a chunk extension is too long, holds a control octet or has quotes that do not end")
	errChunkEnd       = SyntaxError("a chunk does not end where its size says")
	errTrailer        = SyntaxError("a trailer is malformed")
	errTrailersSize   = SyntaxError("the trailers are too long")
)

type chunkState uint8

const (
	chunkSize      chunkState = iota // digits of the size
	chunkExtension                   // behind ';'
	chunkQuoted                      // in quotes there
	chunkEscaped                     // behind a backslash in those
	chunkSizeLF                      // LF of the size line
	chunkData                        // octets of the body
	chunkDataCR                      // CRLF behind them
	chunkDataLF
	trailerStart // first octet of a trailer line, or of the final CRLF
	trailerName
	trailerValue
	trailerLF
	chunkFinalLF // last LF of the body
	chunkDone
)

// Chunks follows a chunked body (RFC 9112, section 7.1) through any division into pieces. The zero
// value stands before the first chunk.
type Chunks struct {
	state  chunkState
	left   int64 // octets left of the chunk
	digits int   // of its size
	extra  int   // octets of the extension, or of all trailers so far

	trailers []byte // their lines, byte for byte
}

// Done reports whether the body has ended, its final CRLF included.
func (c *Chunks) Done() bool { return c.state == chunkDone }

// Trailers are the lines of the trailer section, as they came; nil if there are none. They are whole once
// the body is Done; see AppendTrailers.
func (c *Chunks) Trailers() []byte { return c.trailers }

// Next reads on in data: n octets were taken, of which body, the last of them, are octets of the body. It
// stops behind the first run of those, at the end of data, and at the end of the body. The error is
// a SyntaxError; what follows it has no meaning.
func (c *Chunks) Next(data []byte) (n int, body []byte, err error) {
	for n < len(data) && c.state != chunkDone {
		if c.state == chunkData {
			run := data[n:]
			if int64(len(run)) > c.left {
				run = run[:c.left]
			}
			c.left -= int64(len(run))
			if c.left == 0 {
				c.state = chunkDataCR
			}
			return n + len(run), run, nil
		}
		if err := c.step(data[n]); err != nil {
			return n, nil, err
		}
		n++
	}
	return n, nil, nil
}

// step takes one octet of framing.
func (c *Chunks) step(b byte) error {
	switch c.state {
	case chunkSize:
		return c.stepSize(b)
	case chunkExtension, chunkQuoted, chunkEscaped:
		return c.stepExtension(b)
	case chunkSizeLF:
		return c.stepSizeLF(b)
	case chunkDataCR:
		c.state = chunkDataLF
		return expect(b, '\r', errChunkEnd)
	case chunkDataLF:
		*c = Chunks{}
		return expect(b, '\n', errChunkEnd)
	case chunkFinalLF:
		c.state = chunkDone
		return expect(b, '\n', errTrailer)
	default:
		return c.stepTrailer(b)
	}
}

func (c *Chunks) stepSize(b byte) error {
	if digit := HexDigit(b); digit >= 0 {
		c.digits++
		if c.digits > chunkDigitsMax {
			return errChunkSize
		}
		c.left = c.left<<4 | int64(digit)
		return nil
	}
	if c.digits == 0 {
		return errChunkSize
	}
	switch b {
	case '\r':
		c.state = chunkSizeLF
	case ';':
		c.state = chunkExtension
	default:
		return errChunkSize
	}
	return nil
}

// stepExtension passes over an extension. What it has in quotes must end within the line: there are readers who
// would look for the end behind it.
func (c *Chunks) stepExtension(b byte) error {
	if c.state == chunkExtension && b == '\r' {
		c.state = chunkSizeLF
		return nil
	}
	if c.extra++; c.extra > chunkExtensionMax || octets[b]&inValue == 0 {
		return errChunkExtension
	}
	switch {
	case c.state == chunkExtension && b == '"', c.state == chunkEscaped:
		c.state = chunkQuoted
	case c.state == chunkQuoted && b == '"':
		c.state = chunkExtension
	case c.state == chunkQuoted && b == '\\':
		c.state = chunkEscaped
	}
	return nil
}

func (c *Chunks) stepSizeLF(b byte) error {
	c.state = chunkData
	if c.left == 0 {
		c.state = trailerStart
		c.extra = 0
	}
	return expect(b, '\n', errChunkSize)
}

func (c *Chunks) stepTrailer(b byte) error {
	if c.extra++; c.extra > trailersMax {
		return errTrailersSize
	}
	if c.state == trailerStart && b == '\r' {
		c.state = chunkFinalLF
		return nil
	}
	c.trailers = append(c.trailers, b)
	switch c.state {
	case trailerStart:
		c.state = trailerName
		return require(b, inToken)
	case trailerName:
		if b == ':' {
			c.state = trailerValue
			return nil
		}
		return require(b, inToken)
	case trailerValue:
		if b == '\r' {
			c.state = trailerLF
			return nil
		}
		return require(b, inValue)
	default:
		c.state = trailerStart
		return expect(b, '\n', errTrailer)
	}
}

func expect(got, want byte, otherwise error) error {
	if got != want {
		return otherwise
	}
	return nil
}

func require(b byte, class octetClass) error {
	if octets[b]&class == 0 {
		return errTrailer
	}
	return nil
}

// HexDigit is the value of a hexadecimal digit in either case, -1 for any other octet.
func HexDigit(b byte) int {
	switch {
	case '0' <= b && b <= '9':
		return int(b - '0')
	case 'a' <= b && b <= 'f':
		return int(b-'a') + 10
	case 'A' <= b && b <= 'F':
		return int(b-'A') + 10
	default:
		return -1
	}
}
