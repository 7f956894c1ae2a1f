package kv

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/stead-io/stead/nodesvc"
)

// StoreKind says where values are kept.
type StoreKind string

const (
	// StoreDisk keeps values in Node.DataDir.
	StoreDisk StoreKind = "disk"
	// StoreMemory keeps values in the process.
	StoreMemory StoreKind = "memory"
)

// ListenDefault is the address nodes listen on unless told otherwise.
const ListenDefault = "127.0.0.1:7500"

// storeFolder is the folder of the store within the data folder.
const storeFolder = "kv"

// Config says which node this is and where it keeps values. NewConfig fills the defaults.
type Config struct {
	// Node is the process as a node. Advertise may be empty: the address listened on. Healthy is the
	// server's own and replaced; so is DataDir for a memory store, which has no folder.
	Node nodesvc.Config
	// Listen is the host:port to serve on; port 0 picks a free one.
	Listen string
	// Store says whether values are on disk, the default, or in memory and gone with the process.
	Store StoreKind
	// Logger hears of the node and its store, never of single requests above debug. Nil: nobody does.
	Logger *slog.Logger
}

// NewConfig returns a Config with every default filled in.
func NewConfig() Config {
	return Config{Node: nodesvc.NewConfig(), Listen: ListenDefault, Store: StoreDisk}
}

// Validate reports the first field that cannot stand. An empty Node.Advertise passes if Listen names
// the port.
func (c Config) Validate() error {
	node := c.Node
	node.Service = &store{}
	if err := node.ValidateAt(c.Listen); err != nil {
		return err
	}
	switch c.Store {
	case StoreMemory:
	case StoreDisk:
		if c.Node.DataDir == "" {
			return errors.New("a store on disk needs a data folder")
		}
	default:
		return fmt.Errorf("store %q is neither disk nor memory", c.Store)
	}
	return nil
}

func (c Config) folder() string { return filepath.Join(c.Node.DataDir, storeFolder) }
