package nodesvc

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/durable"
)

// ledgerEvery is how often the ledger is written at most. What a crash takes of it another replica in sync
// still knows.
const ledgerEvery = time.Second

// ledger remembers the configurations in which this store was in sync, in the generation under way and, until
// it was reported, in the one before: when the control plane's state is restored, it asks for them.
type ledger struct {
	self   api.Replica
	path   string // of its file; empty: in memory alone
	logger *slog.Logger
	dirty  chan struct{} // holds a token when there is something to write

	mu         sync.Mutex
	generation uint64 // 0: nothing is known yet
	slots      map[api.Slot]api.SlotConfig
	former     map[api.Slot]api.SlotConfig
}

// ledgerFile is the ledger as it is kept.
type ledgerFile struct {
	Generation uint64           `json:"generation"`
	Slots      []api.SlotConfig `json:"slots"`
	Former     []api.SlotConfig `json:"former,omitempty"`
}

// openLedger reads what an earlier run of the store kept.
func openLedger(self api.Replica, path string, logger *slog.Logger) (*ledger, error) {
	l := &ledger{self: self, path: path, logger: logger, dirty: make(chan struct{}, 1)}
	l.slots = make(map[api.Slot]api.SlotConfig)
	if path == "" {
		return l, nil
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	var kept ledgerFile
	if err == nil {
		err = json.Unmarshal(raw, &kept)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the configurations kept in %s: %w", path, err)
	}
	l.generation, l.slots = kept.Generation, bySlot(kept.Slots)
	if kept.Former != nil {
		l.former = bySlot(kept.Former)
	}
	return l, nil
}

func bySlot(configs []api.SlotConfig) map[api.Slot]api.SlotConfig {
	slots := make(map[api.Slot]api.SlotConfig, len(configs))
	for _, config := range configs {
		slots[config.Slot] = config
	}
	return slots
}

// note takes configurations of a generation. What was known of an earlier one is kept until it was reported.
func (l *ledger) note(generation uint64, configs []api.SlotConfig) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if generation < l.generation {
		return
	}
	if generation > l.generation {
		if l.generation != 0 && l.former == nil {
			l.former = l.slots
		}
		l.generation, l.slots = generation, make(map[api.Slot]api.SlotConfig)
	}
	for _, config := range configs {
		l.noteOne(config)
	}
	l.stir()
}

func (l *ledger) noteOne(config api.SlotConfig) {
	known, held := l.slots[config.Slot]
	switch {
	case held && known.Epoch >= config.Epoch:
	case !config.Recovering && slices.Contains(config.ISR, l.self):
		l.slots[config.Slot] = config
	default:
		delete(l.slots, config.Slot)
	}
}

// stir asks for the ledger to be written.
func (l *ledger) stir() {
	select {
	case l.dirty <- struct{}{}:
	default: // it is going to be
	}
}

// before is what the store last acted on before a generation, by slot; empty: nothing, or it was reported.
func (l *ledger) before(generation uint64) []api.SlotConfig {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.former == nil && l.generation < generation {
		return sorted(l.slots)
	}
	return sorted(l.former)
}

// reported forgets what was before a generation.
func (l *ledger) reported(generation uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.former = nil
	if generation > l.generation {
		l.generation, l.slots = generation, make(map[api.Slot]api.SlotConfig)
	}
	l.stir()
}

func sorted(slots map[api.Slot]api.SlotConfig) []api.SlotConfig {
	return slices.SortedFunc(maps.Values(slots), func(a, b api.SlotConfig) int { return cmp.Compare(a.Slot, b.Slot) })
}

// run writes the ledger whenever it changed, until ctx ends, and at the end once more.
func (l *ledger) run(ctx context.Context) {
	if l.path == "" {
		return
	}
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-l.dirty:
			l.write()
		case <-ctx.Done():
			l.write()
			return
		}
		pause.Reset(ledgerEvery)
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
}

func (l *ledger) write() {
	raw, err := json.Marshal(l.file())
	if err == nil {
		err = durable.WriteFile(l.path, raw)
	}
	if err != nil {
		l.logger.Warn("configurations could not be kept", "error", err)
	}
}

func (l *ledger) file() ledgerFile {
	l.mu.Lock()
	defer l.mu.Unlock()
	file := ledgerFile{Generation: l.generation, Slots: sorted(l.slots)}
	if l.former != nil {
		file.Former = sorted(l.former)
	}
	return file
}
