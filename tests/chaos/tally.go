package chaos

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/stead-io/stead/api/durable"
)

// What must happen in an hour for a run to mean anything, and in how many of the seconds in which nobody was cut
// off a write must have been acknowledged.
const (
	acksPerHour   = 100_000
	faultsPerHour = 40 // of each
	movesPerHour  = 2_000
	secondsShare  = 0.95
)

// Tally counts what happened in a run. It is kept in the run's folder, so that a run that was broken off goes on
// counting.
type Tally struct {
	Seed     uint64        `json:"seed"`
	State    string        `json:"state"`
	Replicas int           `json:"replicas"`
	Elapsed  time.Duration `json:"elapsed"` // under load and faults

	Strikes  int            `json:"strikes"` // of the schedule, done
	Faults   map[Fault]int  `json:"faults"`
	Moves    int            `json:"moves"`    // slots that another node serves while the one before it was up
	Promoted int            `json:"promoted"` // slots that another node serves since the one before it was not
	Asked    int            `json:"asked"`    // changes of weights, drains, rebalances
	Acks     int            `json:"acks"`     // writes acknowledged
	Answers  map[string]int `json:"answers"`  // operations by outcome
	Exits    map[string]int `json:"exits"`    // processes that ended by themselves
	Seconds  int            `json:"seconds"`  // in which nobody was cut off
	Served   int            `json:"served"`   // of these, with a write acknowledged
	Resumed  int            `json:"resumed"`
	// Finished: the run was checked to the end.
	Finished bool `json:"finished"`
}

// NewTally is that of a run that begins.
func NewTally(seed uint64, state string, replicas int) Tally {
	return Tally{Seed: seed, State: state, Replicas: replicas, Faults: map[Fault]int{}, Answers: map[string]int{}, Exits: map[string]int{}}
}

// LoadTally reads the tally of a run that was broken off; found is false if the folder has none.
func LoadTally(path string) (t Tally, found bool, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return t, false, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &t)
	}
	if err != nil {
		return t, false, fmt.Errorf("cannot read tally: %w", err)
	}
	return t, true, nil
}

// Save writes the tally.
func (t Tally) Save(path string) error {
	text, err := json.MarshalIndent(t, "", "  ")
	if err == nil {
		err = durable.WriteFile(path, text)
	}
	if err != nil {
		return fmt.Errorf("cannot save tally: %w", err)
	}
	return nil
}

// Vacuous says what there was too little of; nothing if the run counts. moves says whether slots were to move.
func (t Tally) Vacuous(moves bool) (reasons []string) {
	few := func(what string, got, perHour int) {
		want := max(1, int(float64(perHour)*t.Elapsed.Hours()))
		if got < want {
			reasons = append(reasons, fmt.Sprintf("%d %s in %v, %d are due", got, what, t.Elapsed.Round(time.Second), want))
		}
	}
	few("acknowledged writes", t.Acks, acksPerHour)
	for _, fault := range Faults {
		few(string(fault), t.Faults[fault], faultsPerHour)
	}
	if moves {
		few("moves of slots", t.Moves, movesPerHour)
	}
	if float64(t.Served) < secondsShare*float64(t.Seconds) || t.Seconds == 0 {
		reasons = append(reasons, fmt.Sprintf("writes were acknowledged in %d of %d seconds without cuts", t.Served, t.Seconds))
	}
	return reasons
}

// Table is the tally for people.
func (t Tally) Table() string {
	var out strings.Builder
	row := func(name string, value any) { fmt.Fprintf(&out, "  %-28s %v\n", name, value) }
	row("seed", t.Seed)
	row("state, replicas", fmt.Sprintf("%s, %d", t.State, t.Replicas))
	row("time under load and faults", t.Elapsed.Round(time.Second))
	row("times resumed", t.Resumed)
	row("acknowledged writes", t.Acks)
	row("seconds without cuts", fmt.Sprintf("%d, writes acknowledged in %d", t.Seconds, t.Served))
	row("moves asked for", t.Asked)
	row("slots moved, promoted", fmt.Sprintf("%d, %d", t.Moves, t.Promoted))
	for _, fault := range Faults {
		row("fault "+string(fault), t.Faults[fault])
	}
	for _, name := range sortedKeys(t.Answers) {
		row("answer "+name, t.Answers[name])
	}
	for _, name := range sortedKeys(t.Exits) {
		row("ended by itself: "+name, t.Exits[name])
	}
	return out.String()
}

func sortedKeys(counts map[string]int) []string {
	names := make([]string, 0, len(counts))
	for name := range counts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
