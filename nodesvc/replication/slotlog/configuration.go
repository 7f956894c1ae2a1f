package slotlog

import (
	"slices"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
)

// nobody stands for a primary that is not among the members.
const nobody = 255

func appendConfig(to []byte, config ownership.Config[api.Replica]) []byte {
	primary := slices.Index(config.ISR, config.Primary)
	if primary < 0 {
		primary = nobody
	}
	to = append(to, byte(primary), byte(len(config.ISR)))
	for _, member := range config.ISR {
		to = append(append(to, byte(len(member.Node))), member.Node...)
		to = append(append(to, byte(len(member.Store))), member.Store...)
	}
	return to
}

// readConfig reads a configuration of an epoch; rest is what follows it.
func readConfig(epoch api.Epoch, value []byte) (config ownership.Config[api.Replica], rest []byte, err error) {
	if len(value) < 2 {
		return config, nil, errMalformed
	}
	primary, count, rest := int(value[0]), int(value[1]), value[2:]
	config.Epoch = epoch
	for range count {
		var node, store string
		if node, rest, err = readName(rest); err == nil {
			store, rest, err = readName(rest)
		}
		if err != nil {
			return config, nil, err
		}
		config.ISR = append(config.ISR, api.Replica{Node: api.NodeID(node), Store: api.StoreID(store)})
	}
	switch {
	case count == 0 || primary != nobody && primary >= count:
		return config, nil, errMalformed
	case primary != nobody:
		config.Primary = config.ISR[primary]
	}
	return config, rest, nil
}

func readName(value []byte) (name string, rest []byte, err error) {
	if len(value) == 0 || len(value)-1 < int(value[0]) {
		return "", nil, errMalformed
	}
	end := 1 + int(value[0])
	return string(value[1:end]), value[end:], nil
}
