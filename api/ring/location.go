package ring

import (
	"encoding/hex"
	"fmt"
	"unicode/utf8"

	"github.com/stead-io/stead/api"
)

// Location says where a key lives by this view, as programs and people are told.
func (v *View) Location(key []byte) api.Location {
	slot := v.Slot(key)
	location := api.Location{
		KeyHex:   hex.EncodeToString(key),
		Hash:     fmt.Sprintf("%016x", v.Hash(key)),
		Slot:     slot,
		Epoch:    v.Table.Epochs[slot],
		Version:  v.Table.Version,
		Replicas: []api.LocationNode{},
	}
	if utf8.Valid(key) {
		location.Key = string(key)
	}
	for _, index := range v.Table.ReplicasOf(slot) {
		if node, listed := v.Table.Node(index); listed {
			location.Replicas = append(location.Replicas,
				api.LocationNode{ID: node.ID, Address: node.Address, Status: node.Status.String()})
		}
	}
	return location
}
