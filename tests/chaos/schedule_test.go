package chaos

import (
	"slices"
	"testing"
)

var fleet = Fleet{
	Members: []string{"c1", "c2", "c3"}, Proxies: []string{"p1", "p2"}, Nodes: []string{"n1", "n2", "n3", "n4", "n5"}, Small: "n5",
}

// TestSeedFixesTheFaults: the same seed does the same, another one something else; each round has all faults.
func TestSeedFixesTheFaults(t *testing.T) {
	draw := func(seed uint64) (strikes []Strike) {
		schedule := NewSchedule(seed, fleet)
		for range 3 * len(Faults) {
			strikes = append(strikes, schedule.Next())
		}
		return strikes
	}
	first := draw(1)
	if !slices.Equal(first, draw(1)) {
		t.Error("one seed made two schedules")
	}
	if slices.Equal(first, draw(2)) {
		t.Error("two seeds made one schedule")
	}
	for round := range slices.Chunk(first, len(Faults)) {
		for _, fault := range Faults {
			if !slices.ContainsFunc(round, func(s Strike) bool { return s.Fault == fault }) {
				t.Errorf("a round has no %s", fault)
			}
		}
	}
}

// TestStrikesHaveVictims: cuts are between two different processes, the disk is the small one.
func TestStrikesHaveVictims(t *testing.T) {
	schedule, names := NewSchedule(7, fleet), fleet.All()
	for range 1000 {
		strike := schedule.Next()
		pair := slices.Contains([]Fault{CutPair, CutOneWay, CutAndKill, Partition}, strike.Fault)
		alone := strike.Fault == TransferLeader || strike.Fault == RollingRestart
		if alone != (strike.Victim == "") || pair != (strike.Other != "") || strike.Victim == strike.Other && pair {
			t.Fatalf("%+v", strike)
		}
		if !alone && (!slices.Contains(names, strike.Victim) || strike.Length <= 0 || strike.Length > pauseLength) {
			t.Fatalf("%+v", strike)
		}
		if strike.Fault == DiskFull && strike.Victim != "n5" {
			t.Fatalf("%+v", strike)
		}
	}
}
