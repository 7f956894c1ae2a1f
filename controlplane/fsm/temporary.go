package fsm

import (
	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

type Cas struct {
	Node       api.NodeID
	Session    api.SessionID
	Generation uint64
	Proposals  []api.SlotProposal
}
type Cancel struct{ Change api.ChangeID }
type Evict struct{ Node api.NodeID }
type Force struct {
	Slot api.Slot
	Node api.NodeID
}

func (Cas) commandType() CommandType    { return 20 }
func (Cancel) commandType() CommandType { return 21 }
func (Evict) commandType() CommandType  { return 22 }
func (Force) commandType() CommandType  { return 23 }

func (s *State) SlotConfig(slot ring.Slot) api.SlotConfig {
	at := s.Slot(slot)
	config := api.SlotConfig{Slot: slot, Epoch: at.Epoch, Recovering: at.Recovering()}
	if node := s.NodeAt(at.Primary); node != nil {
		config.Primary = node.Registration.ID
	}
	for _, replica := range at.ISR {
		if node := s.NodeAt(replica.Node); node != nil {
			config.ISR = append(config.ISR, api.Replica{Node: node.Registration.ID, Store: replica.Store})
		}
	}
	return config
}

func (s *State) SlotsSince(after uint64, all bool) []api.SlotConfig {
	list := []api.SlotConfig{}
	for slot := range s.SlotCount() {
		list = append(list, s.SlotConfig(ring.Slot(slot)))
	}
	return list
}

func (s *State) SlotNodes() []api.SlotNode {
	list := []api.SlotNode{}
	for _, node := range s.Nodes() {
		list = append(list, api.SlotNode{ID: node.Registration.ID, Address: node.Registration.Address, Store: node.Registration.StoreID, Status: node.Status})
	}
	return list
}

func (s *State) SlotsIndex() uint64 { return s.Number }
