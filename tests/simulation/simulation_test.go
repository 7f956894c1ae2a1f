// Package simulation runs a whole cluster in one process, on a clock, a network and disks of its own, and does
// to it what a year does to real ones.
//
// Real are the control plane's state machine, planner and tracker, the nodes' engines, their links and their
// logs on disk. Simulated are the network between hosts, the disks below the logs, Raft (a log that members
// apply sooner or later, and leaders that come and go), the loops of nodesvc and of the control plane's leader,
// and the clients. Package judge's comments say what is asserted; docs/testing.md what a seed fixes.
package simulation

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shortScenes run with every test.
var shortScenes = []scene{
	{Seed: 1, Replicas: 1}, {Seed: 2, Replicas: 2}, {Seed: 3, Replicas: 3},
	{Seed: 4, Replicas: 2, Memory: true}, {Seed: 5, Replicas: 3, Memory: true},
}

const (
	shortLength = 25 * time.Second
	racedLength = 5 * time.Second
	longLength  = 3 * time.Minute
)

func TestSimulation(t *testing.T) {
	var sum counts
	all := scenes(t)
	for _, scene := range all {
		t.Run(scene.String(), func(t *testing.T) { sum.add(play(t, scene)) })
	}
	if n := len(all); !raced && (sum.Crashes < n || sum.Elections < 2*n || n >= len(shortScenes) && sum.Restores == 0) {
		t.Errorf("vacuous: %d crashes, %d elections, %d restores", sum.Crashes, sum.Elections, sum.Restores)
	}
}

// scenes are those of every test, or SIM_SEEDS others, the first of them with seed SIM_SEED.
func scenes(t *testing.T) []scene {
	count, _ := strconv.Atoi(os.Getenv("SIM_SEEDS"))
	if count == 0 {
		return ordinary()
	}
	first, err := strconv.ParseUint(os.Getenv("SIM_SEED"), 10, 64)
	if err != nil {
		first = rand.Uint64N(1 << 32)
	}
	t.Logf("%d seeds from %d on", count, first)
	var all []scene
	for i := range uint64(count) {
		seed := first + i
		s := scene{Seed: seed, Replicas: 1 + int(seed%3), Length: longLength}
		s.Memory = s.Replicas > 1 && seed/3%2 == 1
		all = append(all, s)
	}
	return all
}

// ordinary are the scenes of every test: fewer and shorter ones under the race detector.
func ordinary() []scene {
	scenes, length := shortScenes, shortLength
	if raced {
		scenes, length = shortScenes[1:4:4], racedLength
	}
	for i := range scenes {
		scenes[i].Length = length
	}
	return scenes
}

func play(t *testing.T, scene scene) counts {
	began := time.Now()
	var s *stage
	synctest.Test(t, func(t *testing.T) {
		s = newStage(t, scene)
		s.run()
	})
	s.judge.counts.Elections = s.council.elected
	t.Logf("%v of real time: %+v", time.Since(began).Round(time.Millisecond), s.judge.counts)
	for _, fault := range s.judge.faults {
		t.Error(fault)
	}
	if !t.Failed() && !raced {
		s.judge.counts.vacuous(t, scene)
	}
	if t.Failed() {
		path, err := s.judge.transcript.save(scene.String())
		t.Logf("the transcript is in %s (%v); replay it with SIM_REPLAY", path, err)
	}
	return s.judge.counts
}

// TestForgetfulDisks: where disks lose what they called durable, the run finds it.
func TestForgetfulDisks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, scene{Seed: 7, Replicas: 1, Length: shortLength, Forgetful: true})
		s.run()
		if s.judge.sound() || !strings.Contains(s.judge.faults[0], "was durable") {
			t.Errorf("found %q", s.judge.faults)
		}
	})
}

// vacuous fails a run in which too little happened.
func (c counts) vacuous(t *testing.T, scene scene) {
	parts := int(scene.Length / shortLength)
	if c.Acked < 800*parts || c.Read < 800*parts || c.Transfers < 200*parts {
		t.Errorf("vacuous: %+v", c)
	}
	if scene.Replicas > 1 && c.Promotions < 50*parts {
		t.Errorf("vacuous: too few promotions: %+v", c)
	}
	if scene.Length >= longLength && (c.Crashes < 3 || c.Elections < 5) {
		t.Errorf("vacuous: too few crashes or elections: %+v", c)
	}
}

// add counts what happened in another run, too.
func (c *counts) add(other counts) {
	c.Crashes += other.Crashes
	c.Elections += other.Elections
	c.Restores += other.Restores
}
