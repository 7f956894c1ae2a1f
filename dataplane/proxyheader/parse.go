package proxyheader

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
	"strconv"
)

// Limits on a header, in octets.
const (
	// LengthMax bounds a whole header of version 2: what load balancers put into it takes some hundreds.
	LengthMax = 4 << 10
	lineMax   = 107 // of version 1, by the specification
	fixedSize = 16  // of version 2, up to where addresses begin
)

// signature begins a header of version 2.
const signature = "\r\n\r\n\x00\r\nQUIT\n"

// prefix begins a header of version 1.
const prefix = "PROXY "

var (
	// ErrShort says that more octets are needed.
	ErrShort = errors.New("the PROXY header is not whole")
	// ErrNoHeader says that what came is something else.
	ErrNoHeader = errors.New("the connection does not begin with a PROXY header")
	// ErrMalformed says that it begins like a header, and is none.
	ErrMalformed = errors.New("the PROXY header is malformed")
)

// Header is what a proxy says about a connection.
type Header struct {
	// Source is who made it, Destination where to. Neither is valid where the proxy made the connection
	// itself, or doesn't say.
	Source, Destination netip.AddrPort
}

// Parse reads the header that data begins with, and how long it is. Of a header that is not whole yet the
// error is ErrShort, as soon as octets cannot be one's it is another.
func Parse(data []byte) (header Header, length int, err error) {
	switch {
	case begins(data, signature):
		return parseBinary(data)
	case begins(data, prefix):
		return parseLine(data)
	default:
		return header, 0, ErrNoHeader
	}
}

// begins reports whether data begins with a text, or may yet.
func begins(data []byte, text string) bool {
	n := min(len(data), len(text))
	return string(data[:n]) == text[:n]
}

// parseLine reads version 1: one line of words.
func parseLine(data []byte) (header Header, length int, err error) {
	end := bytes.Index(data[:min(len(data), lineMax)], []byte("\r\n"))
	switch {
	case end < 0 && len(data) < lineMax:
		return header, 0, ErrShort
	case end < 0:
		return header, 0, fmt.Errorf("%w: its line is longer than %d octets", ErrMalformed, lineMax)
	}
	length = end + len("\r\n")
	words := bytes.Split(data[len(prefix):end], []byte{' '})
	if string(words[0]) == "UNKNOWN" {
		return header, length, nil
	}
	if len(words) != 5 || string(words[0]) != "TCP4" && string(words[0]) != "TCP6" {
		return header, 0, fmt.Errorf("%w: it is not TCP4, TCP6 or UNKNOWN with two addresses and two ports", ErrMalformed)
	}
	six := string(words[0]) == "TCP6"
	source, valid := parseEnd(words[1], words[3], six)
	destination, validToo := parseEnd(words[2], words[4], six)
	if !valid || !validToo {
		return header, 0, fmt.Errorf("%w: an address or port is none", ErrMalformed)
	}
	return Header{Source: source, Destination: destination}, length, nil
}

func parseEnd(host, port []byte, six bool) (end netip.AddrPort, valid bool) {
	addr, err := netip.ParseAddr(string(host))
	if err != nil || addr.Is6() != six || addr.Zone() != "" {
		return end, false
	}
	number, err := strconv.ParseUint(string(port), 10, 16)
	if err != nil {
		return end, false
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(number)), true
}

// Commands, families and what else stands in version 2.
const (
	version      = 2
	commandLocal = 0
	commandProxy = 1

	familyNone = 0
	familyIPv4 = 1
	familyIPv6 = 2
	familyUnix = 3

	transportStream   = 1
	transportDatagram = 2

	extraChecksum = 0x03
)

// parseBinary reads version 2.
func parseBinary(data []byte) (header Header, length int, err error) {
	if len(data) < fixedSize {
		return header, 0, ErrShort
	}
	length = fixedSize + int(binary.BigEndian.Uint16(data[14:16]))
	command, family, transport := data[12]&0xF, data[13]>>4, data[13]&0xF
	known := family <= familyUnix && transport <= transportDatagram || command == commandLocal // which says nothing of any
	switch {
	case data[12]>>4 != version || command > commandProxy || !known:
		return header, 0, fmt.Errorf("%w: version, command, family or transport are not known", ErrMalformed)
	case length > LengthMax:
		return header, 0, fmt.Errorf("%w: it is longer than %d octets", ErrMalformed, LengthMax)
	case len(data) < length:
		return header, 0, ErrShort
	case command == commandLocal:
		return header, length, nil
	}
	extras, err := header.takeEnds(data[fixedSize:length], family)
	if err == nil {
		err = checkExtras(data[:length], extras)
	}
	if err != nil {
		return Header{}, 0, err
	}
	if transport != transportStream {
		return Header{}, length, nil
	}
	return header, length, nil
}

// takeEnds reads the addresses and returns what stands behind them.
func (h *Header) takeEnds(block []byte, family byte) (extras []byte, err error) {
	size := map[byte]int{familyIPv4: 4, familyIPv6: 16, familyUnix: 108}[family]
	if len(block) < 2*size+4 && (family == familyIPv4 || family == familyIPv6) || len(block) < 2*size {
		return nil, fmt.Errorf("%w: it ends within an address", ErrMalformed)
	}
	if family == familyNone || family == familyUnix {
		return block[2*size:], nil
	}
	source, _ := netip.AddrFromSlice(block[:size])
	destination, _ := netip.AddrFromSlice(block[size : 2*size])
	ports := block[2*size:]
	h.Source = netip.AddrPortFrom(source.Unmap(), binary.BigEndian.Uint16(ports))
	h.Destination = netip.AddrPortFrom(destination.Unmap(), binary.BigEndian.Uint16(ports[2:]))
	return ports[4:], nil
}

// checkExtras goes through what else a proxy says: type, length and value each. Only the checksum is looked
// at, CRC-32C over the header with zeros in its own place.
func checkExtras(header, extras []byte) error {
	for len(extras) > 0 {
		if len(extras) < 3 {
			return fmt.Errorf("%w: it ends within an extra", ErrMalformed)
		}
		kind, size := extras[0], int(binary.BigEndian.Uint16(extras[1:3]))
		if extras = extras[3:]; len(extras) < size {
			return fmt.Errorf("%w: it ends within an extra", ErrMalformed)
		}
		value, rest := extras[:size], extras[size:]
		if kind == extraChecksum {
			at := len(header) - len(extras)
			if size != 4 || checksum(header, at) != binary.BigEndian.Uint32(value) {
				return fmt.Errorf("%w: its checksum is another", ErrMalformed)
			}
		}
		extras = rest
	}
	return nil
}

func checksum(header []byte, at int) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, header[:at])
	sum = crc32.Update(sum, table, []byte{0, 0, 0, 0})
	return crc32.Update(sum, table, header[at+4:])
}
