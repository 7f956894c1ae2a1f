package dataplane

import (
	"crypto/rand"
	"encoding/base64"

	"github.com/stead-io/stead/api"
)

// drawnKey is the key that a client gets who came without one, where such requests are sticky
// (no-key=sticky). It is 128 random bits: nobody comes upon another's. The cookie it goes back in is
// the last of the cluster's key rules, so that from then on every proxy finds the same key, and nodes
// see one like any other.
type drawnKey struct {
	present bool
	bits    [16]byte
	text    [22]byte // the bits in base64, as a cookie may hold them
}

// octets draws the key when they are first asked for: a request that is aimed again keeps it.
func (k *drawnKey) octets() []byte {
	if !k.present {
		_, _ = rand.Read(k.bits[:]) // never fails
		base64.RawURLEncoding.Encode(k.text[:], k.bits[:])
		k.present = true
	}
	return k.text[:]
}

// appendDrawnKey tells the client its key, and caches on the way that it is nobody else's (RFC 9111,
// section 5.2.2.4).
func (x *exchange) appendDrawnKey() {
	x.out = append(append(x.out, "Set-Cookie: "+api.KeyCookie+"="...), x.drawn.text[:]...)
	x.out = append(x.out, "; Path=/; HttpOnly; SameSite=Lax"...)
	if x.proxy.config.SecurityClients.Encrypted() {
		x.out = append(x.out, "; Secure"...)
	}
	x.out = append(x.out, "\r\nCache-Control: no-cache=\"set-cookie\"\r\n"...)
}
