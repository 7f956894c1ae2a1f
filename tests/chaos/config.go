//go:build chaos

package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Config says what a run is. ReadConfig fills it from the environment.
type Config struct {
	Folder     string        // of all that the run keeps: data, logs, journal, tally
	Binary     string        // stead
	NodeBinary string        // of nodes, where they run another build
	Time       time.Duration // under load and faults
	Seed       uint64        // fixes the faults
	State      string        // none, managed
	Replicas   int
	Slots      int
	Rate       int  // requests a second
	Moves      bool // slots move
	// ExpectViolation: the run succeeds only if it finds one. For nodes that were broken on purpose.
	ExpectViolation bool
}

// ReadConfig reads CHAOS_FOLDER, CHAOS_BINARY, CHAOS_NODE_BINARY, CHAOS_TIME, CHAOS_SEED, CHAOS_STATE,
// CHAOS_REPLICAS, CHAOS_SLOTS, CHAOS_RATE, CHAOS_MOVES and CHAOS_EXPECT.
func ReadConfig() (c Config, err error) {
	c.Folder, c.Binary = os.Getenv("CHAOS_FOLDER"), os.Getenv("CHAOS_BINARY")
	if c.Folder == "" || c.Binary == "" {
		return c, fmt.Errorf("CHAOS_FOLDER and CHAOS_BINARY are needed: run it by `make chaos`")
	}
	if c.Folder, err = filepath.Abs(c.Folder); err != nil {
		return c, err
	}
	if c.Binary, err = filepath.Abs(c.Binary); err != nil {
		return c, err
	}
	if c.NodeBinary, err = filepath.Abs(variable("CHAOS_NODE_BINARY", c.Binary)); err != nil {
		return c, err
	}
	if c.Time, err = time.ParseDuration(variable("CHAOS_TIME", "60s")); err != nil {
		return c, fmt.Errorf("CHAOS_TIME: %w", err)
	}
	seed := variable("CHAOS_SEED", strconv.FormatInt(time.Now().UnixNano()%1_000_000, 10))
	if c.Seed, err = strconv.ParseUint(seed, 10, 64); err != nil {
		return c, fmt.Errorf("CHAOS_SEED: %w", err)
	}
	for name, to := range map[string]*int{"CHAOS_REPLICAS 2": &c.Replicas, "CHAOS_SLOTS 256": &c.Slots, "CHAOS_RATE 200": &c.Rate} {
		if err := number(name, to); err != nil {
			return c, err
		}
	}
	c.State = variable("CHAOS_STATE", "managed")
	if c.State == "none" {
		c.Replicas = 1
	}
	c.Moves = variable("CHAOS_MOVES", "on") == "on"
	c.ExpectViolation = variable("CHAOS_EXPECT", "") == "violation"
	return c, nil
}

func variable(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// number reads a variable that is named together with its default.
func number(nameAndDefault string, to *int) error {
	var name, otherwise string
	if _, err := fmt.Sscan(nameAndDefault, &name, &otherwise); err != nil {
		return err
	}
	value, err := strconv.Atoi(variable(name, otherwise))
	if err != nil || value < 1 {
		return fmt.Errorf("%s: %q is no positive number", name, variable(name, otherwise))
	}
	*to = value
	return nil
}
