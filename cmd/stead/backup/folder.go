package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/durable"
)

// Files of a backup's folder, beside one for each slot.
const (
	manifestName = "manifest.json"
	restoredName = "restored.json" // how far a restore is; gone when it is done
)

// layout is the layout of the folder that this version reads and writes.
const layout = 1

// Manifest says what a backup holds.
type Manifest struct {
	Layout   int           `json:"layout"`
	Cluster  api.ClusterID `json:"cluster"`
	Service  string        `json:"service"`
	Geometry Geometry      `json:"geometry"`
	Begun    time.Time     `json:"begun"`
	Finished time.Time     `json:"finished,omitzero"` // zero: it is not complete
	Slots    []Slot        `json:"slots"`             // those copied so far
}

// Geometry is what decides in which slot a key lives.
type Geometry struct {
	SlotBits int    `json:"slot_bits"`
	Hash     string `json:"hash"`
	// HashKey is the SHA-256 of the cluster's hash key, which is a secret.
	HashKey string `json:"hash_key_sha256"`
}

// Slot is one slot's state in a backup.
type Slot struct {
	Slot   api.Slot  `json:"slot"`
	Epoch  api.Epoch `json:"epoch"` // in which it was read
	Seq    uint64    `json:"seq"`   // of the last record in it
	Bytes  int64     `json:"bytes"`
	SHA256 string    `json:"sha256"`
}

// geometryOf is a cluster's.
func geometryOf(settings api.Settings) Geometry {
	digest := sha256.Sum256([]byte(settings.HashKey))
	return Geometry{SlotBits: settings.SlotBits, Hash: settings.Hash, HashKey: hex.EncodeToString(digest[:])}
}

// folder is where a backup is.
type folder string

func (f folder) file(name string) string { return filepath.Join(string(f), name) }

func (f folder) state(slot api.Slot) string { return f.file(fmt.Sprintf("%05d.state", slot)) }

// manifest reads the manifest; ok is false if there is none.
func (f folder) manifest() (manifest Manifest, ok bool, err error) {
	ok, err = f.read(manifestName, &manifest)
	if err == nil && ok && manifest.Layout != layout {
		err = fmt.Errorf("cannot use %s: it has layout %d, this version of Stead knows %d", f, manifest.Layout, layout)
	}
	return manifest, ok, err
}

func (f folder) read(name string, into any) (ok bool, err error) {
	raw, err := os.ReadFile(f.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		return false, fmt.Errorf("cannot read %s: %w", f.file(name), err)
	}
	return true, nil
}

func (f folder) write(name string, value any) error {
	raw, err := json.MarshalIndent(value, "", "\t")
	if err != nil {
		return err
	}
	return durable.WriteFile(f.file(name), append(raw, '\n'))
}

// keep writes a slot's state to its file, which has its name once it is whole and on disk.
func (f folder) keep(slot api.Slot, state io.Reader) (bytes int64, digest string, err error) {
	part := f.state(slot) + ".part"
	file, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, "", err
	}
	hash := sha256.New()
	if bytes, err = io.Copy(io.MultiWriter(file, hash), state); err != nil {
		err = fmt.Errorf("%w: the state did not come whole: %w", errAgain, err)
	} else {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return 0, "", errors.Join(err, os.Remove(part))
	}
	return bytes, hex.EncodeToString(hash.Sum(nil)), os.Rename(part, f.state(slot))
}

// verify reports whether a slot's file is what the manifest says.
func (f folder) verify(slot Slot) error {
	file, err := os.Open(f.state(slot.Slot))
	if err != nil {
		return err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return err
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != slot.SHA256 {
		return fmt.Errorf("%s was altered: its SHA-256 is %s, the manifest says %s", file.Name(), got, slot.SHA256)
	}
	return nil
}
