package chaos

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Fault is the name of something that the nemesis does. The names stand in saved counts.
type Fault string

const (
	Kill           Fault = "kill"            // kill -9 of a process, and its restart a moment later
	Pause          Fault = "pause"           // SIGSTOP, for 5 s
	CutPair        Fault = "cut-pair"        // two nodes do not reach each other
	CutOneWay      Fault = "cut-one-way"     // what one process sends another is lost, not the reverse
	CutControl     Fault = "cut-control"     // a node does not reach the control plane
	Isolate        Fault = "isolate"         // a process reaches no other
	Partition      Fault = "partition"       // a node and a proxy reach each other, and nobody else
	CutAndKill     Fault = "cut-and-kill"    // two nodes do not reach each other, and one is killed before that is noticed
	TransferLeader Fault = "transfer-leader" // of the control plane
	RollingRestart Fault = "rolling-restart" // of every process, one after another
	DiskFull       Fault = "disk-full"       // a node's disk has no room, or less than it keeps in reserve
)

// Faults are all there are. Each comes once a round.
var Faults = []Fault{Kill, Pause, CutPair, CutOneWay, CutControl, Isolate, Partition, CutAndKill,
	TransferLeader, RollingRestart, DiskFull}

// Cuts reports whether the fault keeps processes from each other.
func (f Fault) Cuts() bool {
	return f == CutPair || f == CutOneWay || f == CutControl || f == Isolate || f == Partition || f == CutAndKill
}

// How long faults last.
const (
	pauseLength     = 5 * time.Second
	partitionLength = 4 * time.Second         // others have the slots for half of it
	unnoticedMax    = time.Second             // of a cut before the kill: replicas are given up after a second
	lengthMin       = 1500 * time.Millisecond // of the others: shorter and longer than it takes to notice a death
	lengthMax       = 3500 * time.Millisecond
)

// Strike is one fault at its victim.
type Strike struct {
	Fault         Fault
	Victim, Other string // names of processes; empty where the fault has none
	Length        time.Duration
	Low           bool // of a full disk: it has a little room left
}

// String tells the strike in one line.
func (s Strike) String() string {
	text := string(s.Fault)
	if s.Victim != "" {
		text += " " + s.Victim
	}
	if s.Other != "" {
		text += " " + s.Other
	}
	return fmt.Sprintf("%s for %v", text, s.Length.Round(time.Millisecond))
}

// Fleet are the names of a cluster's processes.
type Fleet struct {
	Members, Proxies, Nodes []string
	Small                   string // the node with the small disk
}

// All are the names of all processes.
func (f Fleet) All() []string {
	all := append([]string(nil), f.Members...)
	return append(append(all, f.Proxies...), f.Nodes...)
}

// Schedule tells what the nemesis does: rounds of all faults, shuffled, with victims drawn. The same seed and
// fleet make the same schedule.
type Schedule struct {
	fleet  Fleet
	random *rand.Rand
	round  []Fault // left of this one
}

// NewSchedule begins the schedule of a seed.
func NewSchedule(seed uint64, fleet Fleet) *Schedule {
	return &Schedule{fleet: fleet, random: rand.New(rand.NewPCG(seed, 1))}
}

// Next is what the nemesis does next.
func (s *Schedule) Next() Strike {
	if len(s.round) == 0 {
		s.round = append(s.round, Faults...)
		s.random.Shuffle(len(s.round), func(i, j int) { s.round[i], s.round[j] = s.round[j], s.round[i] })
	}
	strike := Strike{Fault: s.round[0], Length: lengthMin + time.Duration(s.random.Int64N(int64(lengthMax-lengthMin)))}
	s.round = s.round[1:]
	s.aim(&strike)
	return strike
}

// aim draws the victims: nodes mostly, since they hold what can be lost.
func (s *Schedule) aim(strike *Strike) {
	switch strike.Fault {
	case Kill:
		strike.Victim = s.anyOf(s.fleet.Nodes, s.fleet.Nodes, s.fleet.Nodes, s.fleet.Members, s.fleet.Proxies)
	case Pause:
		strike.Victim, strike.Length = s.anyOf(s.fleet.Nodes, s.fleet.Nodes, s.fleet.Nodes, s.fleet.Members), pauseLength
	case CutPair:
		strike.Victim, strike.Other = s.two(s.fleet.Nodes)
	case CutOneWay:
		strike.Victim, strike.Other = s.oneWay()
	case CutControl:
		strike.Victim = s.one(s.fleet.Nodes)
	case Isolate:
		strike.Victim = s.anyOf(s.fleet.Nodes, s.fleet.Nodes, s.fleet.Members)
	case Partition:
		strike.Victim, strike.Other, strike.Length = s.one(s.fleet.Nodes), s.one(s.fleet.Proxies), partitionLength
	case CutAndKill:
		strike.Victim, strike.Other = s.two(s.fleet.Nodes)
		strike.Length = time.Duration(1 + s.random.Int64N(int64(unnoticedMax)))
	case DiskFull:
		strike.Victim, strike.Low = s.fleet.Small, s.random.IntN(2) == 0
	case TransferLeader, RollingRestart:
		strike.Length = 0
	}
}

// oneWay draws who loses what it sends, and whom it would have reached.
func (s *Schedule) oneWay() (from, to string) {
	switch s.random.IntN(5) {
	case 0:
		return s.one(s.fleet.Nodes), s.one(s.fleet.Members)
	case 1:
		return s.one(s.fleet.Members), s.one(s.fleet.Nodes)
	case 2:
		return s.one(s.fleet.Proxies), s.one(s.fleet.Nodes)
	default:
		return s.two(s.fleet.Nodes)
	}
}

func (s *Schedule) one(names []string) string { return names[s.random.IntN(len(names))] }

func (s *Schedule) anyOf(groups ...[]string) string { return s.one(groups[s.random.IntN(len(groups))]) }

func (s *Schedule) two(names []string) (string, string) {
	order := s.random.Perm(len(names))
	return names[order[0]], names[order[1]]
}
