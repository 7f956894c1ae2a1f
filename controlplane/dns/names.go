package dns

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	mdns "github.com/miekg/dns"
)

const (
	labelMax = 63 // octets of a label (RFC 1035)
	// hashedMax leaves room in a label for a dash and the hash.
	hashedMax = 48
)

// canonical is a name as names are compared: absolute, in lower case.
func canonical(name string) string { return mdns.CanonicalName(name) }

// label is the name of a proxy or member below the zone. Ids that are host names of one label are their
// own; of others, and of one whose name is taken, what can stand in a host name stays, and a hash keeps
// them apart.
func label(id string, taken func(string) bool) string {
	name := strings.ToLower(id)
	if plain(name) && !taken(name) {
		return name
	}
	return hashed(id)
}

// plain reports whether text, in lower case, can be a label of a host name (RFC 1123).
func plain(text string) bool {
	if text == "" || len(text) > labelMax || text[0] == '-' || text[len(text)-1] == '-' {
		return false
	}
	for _, c := range []byte(text) {
		if !letterOrDigit(c) && c != '-' {
			return false
		}
	}
	return true
}

func letterOrDigit(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

func hashed(id string) string {
	readable := strings.Map(func(c rune) rune {
		if c < 0x80 && letterOrDigit(byte(c)) {
			return c
		}
		return '-'
	}, strings.ToLower(id))
	sum := sha256.Sum256([]byte(id))
	return strings.Trim(readable[:min(len(readable), hashedMax)], "-") + "-" + hex.EncodeToString(sum[:4])
}
