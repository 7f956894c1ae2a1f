package wire

import "bytes"

// errStatusLine is the violation that only answers can show.
const errStatusLine = SyntaxError("the status line is not HTTP/1.0 or HTTP/1.1, a three-digit status and a reason")

// Answer is the head of an answer. Its slices are parts of what was parsed.
type Answer struct {
	Head
	Status int
	// Reason is the status line from the status on: "200 OK".
	Reason []byte
}

// Parse reads a whole head, as HeadLength measured it. The error is a SyntaxError. Length is that
// of the answer to a GET; see NoBody for those that have none.
func (a *Answer) Parse(head []byte) error {
	*a = Answer{Head: a.Head}
	a.reset()
	line, rest, err := cutLine(head)
	if err != nil {
		return err
	}
	if err := a.statusLine(line); err != nil {
		return err
	}
	if err := a.fields(rest); err != nil {
		return err
	}
	if !a.coded && !a.HasLength {
		a.Length = UntilClose
	}
	if a.Status < 200 || a.Status == 204 || a.Status == 304 {
		a.NoBody()
	}
	return nil
}

// NoBody says that no body follows, as for the answer to a HEAD request.
func (a *Answer) NoBody() { a.Length = 0 }

func (a *Answer) statusLine(line []byte) error {
	version, reason, found := bytes.Cut(line, []byte{' '})
	if !found || len(version) != len("HTTP/1.x") || string(version[:7]) != "HTTP/1." || version[7] > '1' || version[7] < '0' {
		return errStatusLine
	}
	a.Minor = int(version[7] - '0')
	if len(reason) < 3 || len(reason) > 3 && reason[3] != ' ' || !all(reason, inValue) {
		return errStatusLine
	}
	for _, c := range reason[:3] {
		if c < '0' || c > '9' {
			return errStatusLine
		}
		a.Status = a.Status*10 + int(c-'0')
	}
	if a.Status < 100 || a.Status > 599 {
		return errStatusLine
	}
	a.Reason = reason
	return nil
}

// UpgradeTo is the protocol that a 101 (Switching Protocols) changes to, nil unless it names it once.
func (a *Answer) UpgradeTo() (protocol []byte) {
	for i := range a.Fields {
		if field := &a.Fields[i]; field.Kind == Upgrade {
			if protocol != nil {
				return nil
			}
			protocol = field.Value
		}
	}
	return protocol
}

// Interim reports an answer that another one follows (RFC 9110, section 15.2).
func (a *Answer) Interim() bool { return a.Status < 200 }
