package proxyheader

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

// binaryHeader makes a header of version 2.
func binaryHeader(command, family byte, block string) string {
	return signature + string([]byte{command, family}) + string(binary.BigEndian.AppendUint16(nil, uint16(len(block)))) + block
}

const (
	ends4 = "\x01\x02\x03\x04\x05\x06\x07\x08\x00\x50\x01\xBB"
	ends6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02" + "\x00\x50\x01\xBB"
)

// summed makes a header of version 2 with a checksum, changed by some.
func summed(change byte) string {
	header := []byte(binaryHeader(0x21, 0x11, ends4+"\x04\x00\x02no\x03\x00\x04\x00\x00\x00\x00"))
	at := len(header) - 4
	binary.BigEndian.PutUint32(header[at:], checksum(header, at))
	header[at] ^= change
	return string(header)
}

func TestParse(t *testing.T) {
	f := func(text, source, destination string) {
		t.Helper()
		header, length, err := Parse([]byte(text + "GET"))
		if err != nil || length != len(text) || header.Source.String() != source || header.Destination.String() != destination {
			t.Errorf("%q is %v of %d octets: %v", text, header, length, err)
		}
		for n := range len(text) {
			if _, _, err := Parse([]byte(text[:n])); err != ErrShort {
				t.Errorf("%q: %v, not short", text[:n], err)
			}
		}
	}
	const nobody = "invalid AddrPort"
	f("PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r\n", "1.2.3.4:80", "5.6.7.8:443")
	f("PROXY TCP6 2001:db8::1 2001:db8::2 80 443\r\n", "[2001:db8::1]:80", "[2001:db8::2]:443")
	f("PROXY TCP6 ::ffff:1.2.3.4 ::1 65535 0\r\n", "1.2.3.4:65535", "[::1]:0")
	f("PROXY UNKNOWN\r\n", nobody, nobody)
	f("PROXY UNKNOWN ffff::1 ffff::2 what ever\r\n", nobody, nobody)
	f(binaryHeader(0x21, 0x11, ends4), "1.2.3.4:80", "5.6.7.8:443")
	f(binaryHeader(0x21, 0x21, ends6), "[2001:db8::1]:80", "[2001:db8::2]:443")
	f(binaryHeader(0x21, 0x11, ends4+"\x01\x00\x02h2\x20\x00\x00"), "1.2.3.4:80", "5.6.7.8:443")
	f(summed(0), "1.2.3.4:80", "5.6.7.8:443")
	f(binaryHeader(0x20, 0x00, ""), nobody, nobody)
	f(binaryHeader(0x20, 0x11, ends4), nobody, nobody)
	f(binaryHeader(0x20, 0x11, "?"), nobody, nobody)
	f(binaryHeader(0x20, 0x99, "?"), nobody, nobody)
	f(binaryHeader(0x21, 0x00, ""), nobody, nobody)
	f(binaryHeader(0x21, 0x12, ends4), nobody, nobody)
	f(binaryHeader(0x21, 0x31, strings.Repeat("/", 216)), nobody, nobody)

	no := func(text string, want error) {
		t.Helper()
		if header, length, err := Parse([]byte(text)); !errors.Is(err, want) || length != 0 || header != (Header{}) {
			t.Errorf("%q is %v of %d octets: %v", text, header, length, err)
		}
	}
	no("GET / HTTP/1.1\r\n", ErrNoHeader)
	no("\x16\x03\x01", ErrNoHeader)
	no("proxy TCP4", ErrNoHeader)
	no("\r\n\r\nG", ErrNoHeader)
	for _, words := range []string{"", "TCP4", "TCP5 1.2.3.4 5.6.7.8 80 443", "TCP4 1.2.3.4 5.6.7.8 80", "TCP4 1.2.3.4 5.6.7.8 80 443 1", "TCP4  1.2.3.4 5.6.7.8 80 443",
		"TCP4 ::1 ::1 80 443", "TCP6 1.2.3.4 5.6.7.8 80 443", "TCP4 1.2.3 5.6.7.8 80 443", "TCP4 1.2.3.4 5.6.7.8 65536 443", "TCP4 1.2.3.4 5.6.7.8 -1 443", "TCP6 fe80::1%eth0 ::1 1 1"} {
		no("PROXY "+words+"\r\n", ErrMalformed)
	}
	no("PROXY UNKNOWN "+strings.Repeat("x", lineMax)+"\r\n", ErrMalformed)
	no("PROXY UNKNOWN "+strings.Repeat("x", lineMax), ErrMalformed)
	no(binaryHeader(0x11, 0x11, ends4), ErrMalformed)
	no(binaryHeader(0x22, 0x11, ends4), ErrMalformed)
	no(binaryHeader(0x21, 0x41, ends4), ErrMalformed)
	no(binaryHeader(0x21, 0x13, ends4), ErrMalformed)
	no(binaryHeader(0x21, 0x11, ends4[1:]), ErrMalformed)
	no(binaryHeader(0x21, 0x21, ends6[1:]), ErrMalformed)
	no(binaryHeader(0x21, 0x31, ends6), ErrMalformed)
	no(binaryHeader(0x21, 0x11, ends4+"\x01\x00"), ErrMalformed)
	no(binaryHeader(0x21, 0x11, ends4+"\x01\x00\x03h2"), ErrMalformed)
	no(summed(1), ErrMalformed)
	no(binaryHeader(0x21, 0x11, ends4)[:14]+"\xFF\xFF", ErrMalformed)
}

// FuzzParse: a header ends where it says, nothing before its end is enough, and what follows changes nothing.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r\nGET", "PROXY UNKNOWN\r\n", summed(0), binaryHeader(0x20, 0, ""), binaryHeader(0x21, 0x21, ends6) + "\x16"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		header, length, err := Parse(data)
		if err != nil {
			if length != 0 || header != (Header{}) {
				t.Fatalf("%q is %v of %d octets, and %v", data, header, length, err)
			}
			return
		}
		if length < len("PROXY UNKNOWN\r\n") || length > min(len(data), LengthMax) || header.Source.IsValid() != header.Destination.IsValid() {
			t.Fatalf("%q is %v of %d octets", data, header, length)
		}
		if again, same, err := Parse(data[:length]); again != header || same != length || err != nil {
			t.Fatalf("%q is %v of %d octets without what follows (%v)", data, again, same, err)
		}
		for n := range length {
			if _, _, err := Parse(data[:n]); err != ErrShort {
				t.Fatalf("%q: %v, not short", data[:n], err)
			}
		}
	})
}
