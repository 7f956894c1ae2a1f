package tunnel

import "strings"

// WebSocket is the protocol whose frames are followed (RFC 6455).
const WebSocket = "websocket"

// barred begin the names of protocols that are never asked for on a client's behalf: by another HTTP it would reach
// the node past whoever reads keys, and Stead's own are between its processes.
var barred = [...]string{"h2", "http", "tls", "stead-"}

// Offers splits the values of a request's Upgrade fields into the protocols that may be asked for, in the client's
// order of preference. A name that is no protocol's is left out.
func Offers(values ...string) (offers []string) {
	for _, value := range values {
		for name := range strings.SplitSeq(value, ",") {
			if name = strings.Trim(name, " \t"); isProtocol(name) && !isBarred(name) {
				offers = append(offers, name)
			}
		}
	}
	return offers
}

// Agreed is the protocol that an answer's Upgrade changes to, "" if it is none of those asked for, or several.
func Agreed(offers []string, answer string) string {
	for _, offer := range offers {
		if strings.EqualFold(offer, answer) {
			return answer
		}
	}
	return ""
}

func isBarred(name string) bool {
	name = strings.ToLower(name)
	for _, prefix := range barred {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// isProtocol reports a token, perhaps with a version: another token behind a slash.
func isProtocol(name string) bool {
	name, version, versioned := strings.Cut(name, "/")
	return isToken(name) && (!versioned || isToken(version))
}

func isToken(text string) bool {
	for i := range len(text) {
		c := text[i]
		letterOrDigit := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letterOrDigit && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return len(text) > 0
}
