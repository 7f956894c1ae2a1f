package nodesvc

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/durable"
	"github.com/stead-io/stead/api/ring"
)

// Files of a data folder. The service's own data stands beside them.
const (
	identityName = "store.json" // identity
	viewName     = "ring"       // the last ring the node acted on, a ring.View frame
	logName      = "log"        // a folder: the log of the slots' records
	formerKV     = "kv"         // a folder: entries of the key-value node before there was replication
)

// Layouts of the data folder.
const (
	layoutPlain = 1 // of a node without a Service
	layoutSlots = 2 // of a node whose slots have a log
)

// ErrForeignFolder says that a data folder belongs to another node, cluster or version of Stead.
var ErrForeignFolder = errors.New("the data folder belongs elsewhere")

// identity is what makes a store the one it is, kept as JSON. It is written before the node
// registers, so that no two starts of a store ever present the same boot.
type identity struct {
	Layout  int         `json:"layout"`
	Node    api.NodeID  `json:"node"`
	StoreID api.StoreID `json:"store_id"`
	Boot    uint64      `json:"boot"` // starts so far, this one included
	// Home is the cluster whose keys are laid out here; nil until the node has seen a ring.
	Home *home `json:"home,omitempty"`
}

// home is what the layout of stored keys depends on. It never changes once the store has it.
type home struct {
	Cluster  api.ClusterID `json:"cluster"`
	SlotBits int           `json:"slot_bits"`
	Hash     string        `json:"hash"`
	HashKey  string        `json:"hash_key"`
	// State is the cluster's, in folders that keep slots: it says what they are good for.
	State api.State `json:"state,omitempty"`
}

func (f *folder) homeOf(view *ring.View) home {
	met := home{
		Cluster:  view.Table.Cluster,
		SlotBits: view.Settings.SlotBits,
		Hash:     view.Settings.Hash,
		HashKey:  view.Settings.HashKey,
	}
	if f.layout == layoutSlots {
		met.State = view.Settings.State
	}
	return met
}

// folder is a data folder this process has locked, or, with an empty path, a memory store that has
// an identity and no files.
type folder struct {
	path     string
	layout   int // that the node needs
	lock     *durable.Lock
	identity identity // but for Home it does not change once the folder is open

	mu sync.Mutex // guards identity.Home
}

// home is the cluster that the store belongs to, once that is known.
func (f *folder) home() (at home, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.identity.Home == nil {
		return home{}, false
	}
	return *f.identity.Home, true
}

// openFolder locks the folder, makes it if need be, and counts the start.
func openFolder(path string, node api.NodeID, layout int) (*folder, error) {
	f := &folder{
		path: path, layout: layout,
		identity: identity{Layout: layout, Node: node, StoreID: newStoreID(), Boot: 1},
	}
	if path == "" {
		return f, nil
	}
	if err := f.open(); err != nil {
		f.close()
		return nil, fmt.Errorf("cannot open data folder %s: %w", path, err)
	}
	return f, nil
}

func (f *folder) open() (err error) {
	if f.lock, err = durable.LockFolder(f.path); err != nil {
		return err
	}
	raw, err := os.ReadFile(f.file(identityName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return f.saveIdentity()
	case err != nil:
		return err
	}
	kept, err := readIdentity(raw, f.identity.Node)
	if err == nil {
		err = f.take(kept.Layout)
	}
	if err != nil {
		return err
	}
	kept.Boot++
	kept.Layout = f.layout
	f.identity = kept
	return f.saveIdentity()
}

func readIdentity(raw []byte, node api.NodeID) (identity, error) {
	var kept identity
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if err := decoder.Decode(&kept); err != nil {
		return identity{}, fmt.Errorf("cannot read %s: %w", identityName, err)
	}
	if kept.Layout != layoutPlain && kept.Layout != layoutSlots {
		return identity{}, fmt.Errorf("%w: it has layout %d, this version of Stead knows %d and %d",
			ErrForeignFolder, kept.Layout, layoutPlain, layoutSlots)
	}
	if err := kept.StoreID.Validate(); err != nil {
		return identity{}, fmt.Errorf("cannot read %s: %w", identityName, err)
	}
	if kept.Node != node {
		return identity{}, fmt.Errorf("%w: it is node %s's, not %s's", ErrForeignFolder, kept.Node, node)
	}
	return kept, nil
}

// take reports whether a folder of some layout can be this node's. One without slots becomes one with; what
// a key-value node kept there without a log would be passed over in silence, so that is refused.
func (f *folder) take(layout int) error {
	switch {
	case layout == f.layout:
		return nil
	case layout == layoutSlots:
		return fmt.Errorf("%w: it holds slots with their log; only the service that made it can use it", ErrForeignFolder)
	}
	if _, err := os.Stat(f.file(formerKV)); err == nil {
		return fmt.Errorf("%w: it holds entries of a key-value node from before replication, which this version "+
			"does not read; run the version that wrote it, start this one with an empty folder, and copy the entries "+
			"from that cluster's proxy to this one's", ErrForeignFolder)
	}
	return nil
}

func (f *folder) saveIdentity() error {
	if f.path == "" {
		return nil
	}
	raw, err := json.MarshalIndent(f.identity, "", "\t")
	if err != nil {
		return err
	}
	return durable.WriteFile(f.file(identityName), append(raw, '\n'))
}

// settle binds the store to the cluster of the first view it meets, and refuses all others.
func (f *folder) settle(view *ring.View) error {
	met := f.homeOf(view)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch own := f.identity.Home; {
	case own == nil:
	case *own == met:
		return nil
	case own.in(met.State) != met:
		return foreign(*own, met)
	}
	f.identity.Home = &met
	if err := f.saveIdentity(); err != nil {
		return fmt.Errorf("cannot record the cluster in data folder %s: %w", f.path, err)
	}
	return nil
}

// in is the home of a folder that kept no slots so far, in a cluster of some state.
func (h home) in(state api.State) home {
	if h.State == "" {
		h.State = state
	}
	return h
}

func foreign(own, met home) error {
	if own.Cluster != met.Cluster {
		return fmt.Errorf("%w: it holds keys of cluster %s, the control plane is cluster %s's; "+
			"use an empty folder or the right --control", ErrForeignFolder, own.Cluster, met.Cluster)
	}
	if own.State != met.State {
		return fmt.Errorf("%w: its slots were kept for state %s, the cluster has state %s; use an empty folder",
			ErrForeignFolder, own.State, met.State)
	}
	return fmt.Errorf("%w: its keys are laid out for 2^%d slots with %s, the cluster has 2^%d with %s, "+
		"or another hash key", ErrForeignFolder, own.SlotBits, own.Hash, met.SlotBits, met.Hash)
}

// keepView stores the ring for a start without the control plane.
func (f *folder) keepView(view *ring.View) error {
	return durable.WriteFile(f.file(viewName), view.Encode())
}

// keptView is the ring stored last, nil if there is none of this store's cluster.
func (f *folder) keptView() (*ring.View, error) {
	raw, err := os.ReadFile(f.file(viewName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the ring kept in %s: %w", f.path, err)
	}
	view, err := ring.DecodeView(raw)
	if err != nil {
		return nil, fmt.Errorf("cannot read the ring kept in %s: %w", f.path, err)
	}
	if at, known := f.home(); !known || at != f.homeOf(view) {
		return nil, nil
	}
	return view, nil
}

func (f *folder) file(name string) string { return filepath.Join(f.path, name) }

func (f *folder) close() {
	if f.lock != nil {
		_ = f.lock.Unlock()
		f.lock = nil
	}
}

func newStoreID() api.StoreID { return api.StoreID(randomHex(16)) }

func randomHex(octets int) string {
	raw := make([]byte, octets)
	_, _ = rand.Read(raw) // never fails: it ends the process instead
	return hex.EncodeToString(raw)
}
