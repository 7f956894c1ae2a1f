package api

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// ClusterID names one cluster for ever: 16 random bytes as 32 hex digits.
type ClusterID string

// NodeID names a node of the service. It is chosen by the operator, stable across restarts, and
// the only thing the ring remembers a node by.
type NodeID string

// StoreID names one store: the folder, or for a memory store the process, that holds a node's
// state. 32 hex digits, drawn once and kept with the data; empty for a node that has no store.
type StoreID string

// MemberID names a control-plane member in Raft: its name, a dash, and the nonce drawn when its
// data folder was made. A wiped folder therefore can never pass for the member it was.
type MemberID string

// ProxyID names a proxy in the fleet view.
type ProxyID string

// ChangeID numbers the changes of a cluster from 1.
type ChangeID uint64

// SessionID is what a registration hands out and a beat presents.
type SessionID string

// Slot is one of the 2^k equal arcs of the hash circle.
type Slot uint16

// Epoch counts the configurations of one slot. It rises with every change of primary or in-sync
// set and never falls within a generation.
type Epoch uint64

// generationShift is where an epoch's generation stands in it.
const generationShift = 32

// EpochFloor is what the epochs of a generation exceed, and those of all before do not; 0 in the first. An
// epoch stays below 2^53, so there is room for two million generations.
func EpochFloor(generation uint64) Epoch {
	return Epoch((generation - min(1, generation)) << generationShift)
}

// GenerationMax is the last generation that there is room for.
const GenerationMax = 1 << (53 - generationShift)

// Generation is the generation of the control plane's state that the epoch is of; that of no epoch is the first.
func (e Epoch) Generation() uint64 { return uint64(max(e, 1)-1)>>generationShift + 1 }

var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

const nameRule = "1 to 64 of A-Z a-z 0-9 . _ -, beginning with a letter or digit"

// Validate reports whether the id can be used in paths, logs and tables as it stands.
func (id NodeID) Validate() error { return validateName("node id", string(id)) }

// Validate reports whether the id can be used in paths, logs and tables as it stands.
func (id ProxyID) Validate() error { return validateName("proxy id", string(id)) }

// ValidateMemberName reports whether name can name a control-plane member.
func ValidateMemberName(name string) error { return validateName("member name", name) }

func validateName(what, name string) error {
	if !namePattern.MatchString(name) {
		return fmt.Errorf("%s %q is not %s", what, Clip(name), nameRule)
	}
	return nil
}

// Clip shortens text that came from outside so that an error or a log line can quote it.
func Clip(text string) string {
	const most = 80
	if len(text) <= most {
		return text
	}
	return text[:most] + "…"
}

// Validate reports whether the id is 32 lower-case hex digits.
func (id StoreID) Validate() error { return validateHex("store id", string(id)) }

// Validate reports whether the id is 32 lower-case hex digits.
func (id ClusterID) Validate() error { return validateHex("cluster id", string(id)) }

func validateHex(what, text string) error {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != 16 || strings.ToLower(text) != text {
		return fmt.Errorf("%s %q is not 32 lower-case hex digits", what, Clip(text))
	}
	return nil
}

// Version orders ring versions: first by generation, which rises only when state was restored or
// recovered, then by number.
type Version struct {
	Generation uint64 `json:"generation"`
	Number     uint64 `json:"number"`
}

// Compare returns -1, 0 or +1 as v comes before, is, or comes after other.
func (v Version) Compare(other Version) int {
	switch {
	case v == other:
		return 0
	case v.Generation < other.Generation, v.Generation == other.Generation && v.Number < other.Number:
		return -1
	default:
		return 1
	}
}

// String writes the form used in ETags and flags: "<generation>-<number>".
func (v Version) String() string { return fmt.Sprintf("%d-%d", v.Generation, v.Number) }

// ETag is the version as a strong entity tag, quotes included.
func (v Version) ETag() string { return `"` + v.String() + `"` }

// ParseVersion reads "<generation>-<number>".
func ParseVersion(text string) (Version, error) {
	generation, number, found := strings.Cut(text, "-")
	if !found {
		return Version{}, fmt.Errorf("version %q is not <generation>-<number>", Clip(text))
	}
	g, errG := strconv.ParseUint(generation, 10, 53)
	n, errN := strconv.ParseUint(number, 10, 53)
	if errG != nil || errN != nil {
		return Version{}, fmt.Errorf("version %q is not <generation>-<number>", Clip(text))
	}
	return Version{Generation: g, Number: n}, nil
}
