package peers

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/durable"
)

// Identity is a member's own, kept in its data folder.
type Identity struct {
	Name  string `json:"name"`
	Nonce string `json:"nonce"` // drawn when the folder was made
	Boot  uint64 `json:"boot"`  // starts so far
	// Joined: it has had a Raft log. Should that be missing one day, it was lost.
	Joined bool `json:"joined"`
	// Newcomer: it met a running cluster that did not list it, and so never founds one.
	Newcomer bool `json:"newcomer,omitempty"`
	// ListedAt is the log index of the configuration that first listed it, 0 for a founder: a later one
	// without it means that it was removed.
	ListedAt uint64 `json:"listed_at,omitempty"`

	dataDir string
}

// ErrFolderOf means that the data folder belongs to another member.
var ErrFolderOf = errors.New("the data folder belongs to another member")

const identityName = "member.json"

// HasIdentity reports whether a folder has been a member's.
func HasIdentity(dataDir string) bool {
	_, err := os.Stat(filepath.Join(dataDir, identityName))
	return err == nil
}

// ReadIdentity reads the identity of a folder that has one; no start is counted.
func ReadIdentity(dataDir, name string) (*Identity, error) {
	identity := &Identity{dataDir: dataDir}
	raw, err := os.ReadFile(filepath.Join(dataDir, identityName))
	if err == nil {
		err = json.Unmarshal(raw, identity)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot read the member's identity: %w", err)
	case identity.Name == "" || identity.Nonce == "":
		return nil, fmt.Errorf("cannot read the member's identity %s: it is damaged", filepath.Join(dataDir, identityName))
	case identity.Name != name:
		return nil, fmt.Errorf("cannot take the folder for member %s's: %w, %s", name, ErrFolderOf, identity.Name)
	}
	return identity, nil
}

// LoadIdentity reads the folder's identity, or makes one, and counts this start.
func LoadIdentity(dataDir, name string) (*Identity, error) {
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the data folder: %w", err)
	}
	identity := &Identity{dataDir: dataDir}
	raw, err := os.ReadFile(filepath.Join(dataDir, identityName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		identity.Name, identity.Nonce = name, newNonce()
	case err != nil:
		return nil, fmt.Errorf("cannot read the member's identity: %w", err)
	default:
		if err := json.Unmarshal(raw, identity); err != nil {
			return nil, fmt.Errorf("cannot read the member's identity %s: %w", filepath.Join(dataDir, identityName), err)
		}
	}
	if identity.Name == "" || identity.Nonce == "" {
		return nil, fmt.Errorf("cannot read the member's identity %s: it is damaged", filepath.Join(dataDir, identityName))
	}
	if identity.Name != name {
		return nil, fmt.Errorf("cannot start member %s: %w, %s", name, ErrFolderOf, identity.Name)
	}
	identity.Boot++
	return identity, identity.save()
}

func newNonce() string {
	var nonce [8]byte
	_, _ = rand.Read(nonce[:]) // never fails
	return hex.EncodeToString(nonce[:])
}

// ID is the member's id in Raft.
func (i *Identity) ID() api.MemberID { return api.MemberID(i.Name + "-" + i.Nonce) }

// MarkJoined notes that the member has a Raft log from now on.
func (i *Identity) MarkJoined() error {
	if i.Joined {
		return nil
	}
	i.Joined = true
	return i.save()
}

// MarkNewcomer notes that a cluster runs here which this member did not found.
func (i *Identity) MarkNewcomer() error {
	if i.Newcomer {
		return nil
	}
	i.Newcomer = true
	return i.save()
}

// MarkListed notes which configuration first listed the member.
func (i *Identity) MarkListed(at uint64) error {
	if i.ListedAt >= at {
		return nil
	}
	i.ListedAt = at
	return i.save()
}

func (i *Identity) save() error {
	raw, err := json.Marshal(i)
	if err != nil {
		return fmt.Errorf("cannot encode the member's identity: %w", err)
	}
	if err := durable.WriteFile(filepath.Join(i.dataDir, identityName), append(raw, '\n')); err != nil {
		return fmt.Errorf("cannot write the member's identity: %w", err)
	}
	return nil
}
