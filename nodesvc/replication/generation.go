package replication

import "github.com/stead-io/stead/api"

// Former ends what was decided before a generation, which begins when the control plane's state is restored,
// and returns the configurations that this store adopted last in former ones, ascending by slot. From then on
// nothing is served, appended or confirmed in an epoch of theirs: what is told of the store stays true.
func (e *Engine) Former(generation uint64) []api.SlotConfig {
	floor := api.EpochFloor(generation)
	for old := e.floor.Load(); uint64(floor) > old && !e.floor.CompareAndSwap(old, uint64(floor)); {
		old = e.floor.Load()
	}
	var configs []api.SlotConfig
	e.each(func(s *slot) {
		if config, adopted := s.endGeneration(floor); adopted {
			configs = append(configs, config)
		}
	})
	return configs
}

// former reports whether an epoch is of a generation that has ended.
func (e *Engine) former(epoch api.Epoch) bool {
	floor := api.Epoch(e.floor.Load())
	return floor > 0 && epoch <= floor
}

// endGeneration has the slot wait for a configuration above the floor.
func (s *slot) endGeneration(floor api.Epoch) (last api.SlotConfig, adopted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if floor > 0 && s.config.Epoch <= floor {
		s.recovering = true
		s.depose()
		s.announce()
	}
	was := s.meta.Config
	last = api.SlotConfig{Slot: s.number, Epoch: was.Epoch, Primary: was.Primary.Node, ISR: was.ISR}
	return last, was.Epoch <= floor && len(was.ISR) > 0
}
