package ring

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/dchest/siphash"

	"github.com/stead-io/stead/api"
)

// HashID names a hash in the table. Values are on the wire: never renumber.
type HashID uint8

// HashSipHash24 is SipHash-2-4 (Aumasson and Bernstein, 2012), 64-bit output, keyed: user-chosen keys
// cannot be aimed at one node by whoever does not know the hash key.
const HashSipHash24 HashID = 1

var hashNames = map[HashID]string{HashSipHash24: api.HashSipHash24}

// Hasher hashes sharding keys with the cluster's key. The zero Hasher is the one of the all-zero key.
type Hasher struct{ k0, k1 uint64 }

// NewHasher reads the hash named and keyed by the settings.
func NewHasher(settings api.Settings) (Hasher, error) {
	if settings.Hash != api.HashSipHash24 {
		return Hasher{}, fmt.Errorf("cannot hash with %q: only %s is known", settings.Hash, api.HashSipHash24)
	}
	key, err := hex.DecodeString(settings.HashKey)
	if err != nil || len(key) != 16 {
		return Hasher{}, fmt.Errorf("cannot hash: the hash key is not 32 hex digits")
	}
	return Hasher{
		k0: binary.LittleEndian.Uint64(key[:8]),
		k1: binary.LittleEndian.Uint64(key[8:]),
	}, nil
}

// Hash is the key's place on the circle.
func (h Hasher) Hash(key []byte) uint64 { return siphash.Hash(h.k0, h.k1, key) }
