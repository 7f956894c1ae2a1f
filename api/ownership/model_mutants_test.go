package ownership_test

import (
	"slices"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
)

// A mutant is one way to break the protocol. Mutants live in the model alone: as switches in its glue, and as
// wrappers around the functions under test.
type mutant uint8

// membership is a configuration as the functions under test take it.
type membership = ownership.Config[member]

const (
	sound            mutant = iota
	commitByISR             // a write is acknowledged without those who are joining
	readByISR               // a read is confirmed without those who are joining
	pendingShrinks          // a primary gives a join up by itself
	unseals                 // a sealed primary serves again after a while
	epochReused             // a process is primary in an epoch of the one before it: no new one is made as it registers
	oldConfiguration        // a process is primary by a configuration read before it registered
	noTruncation            // a replica keeps what its primary does not have
	truncatesAll            // a replica in sync begins anew when an epoch starts
	deleteByOlder           // a replica deletes by a configuration it read, whatever it acknowledged
	expandByNode            // members are known by node, and not by store
	expandEarly             // a member is in sync before it has what is committed
	transferOutside         // the heir is not in sync
	openUnacked             // a primary serves before the others acknowledged its log
	continuesClosed         // a primary that does not serve yet does as its next epoch begins
	openUnapplied           // a primary serves before it has applied its log
	lowerAcks               // acks of lower epochs count
	lowerEpochs             // a replica obeys primaries of lower epochs
	adoptedForgotten        // the epoch a store is in ends with its process
	applyUncommitted        // a backup applies what it gets
	promoteOutside          // whoever is up is promoted
	casWithoutEpoch         // a proposal is decided whatever the epoch
	recoverKnowing          // after a restore only the in-sync set that is known is awaited
	recoverEarly            // after a restore slots are served before stores have reported
	oldGeneration           // configurations of the former generation are taken after reporting
	batchWhole              // an answer to a question about several slots goes for all of them
	confirmationKept        // a read is confirmed by answers from before it began
	staleBoot               // a registration is taken though a later process of the node has registered

	// These lose nothing, but leave slots unserved.
	takesOverDown  // a transfer to a node that is down is accepted
	opensPatiently // a primary that opens waits for members that do not answer
	sealsForever   // a sealed primary waits for an heir that does not answer
)

func (m mutant) roleIn(config membership, self member, read, since uint64) ownership.Role {
	if m == epochReused || m == oldConfiguration {
		since = 0
	}
	return ownership.RoleIn(config, self, read, since)
}

func (m mutant) judge(adopted, offered api.Epoch) ownership.Accepts {
	if judged := ownership.Judge(adopted, offered); m != lowerEpochs || judged != ownership.Refuse {
		return judged
	}
	return ownership.Obey
}

func (m mutant) commonPrefix(mine history, mineLast ownership.Seq, theirs history, theirsLast ownership.Seq) ownership.Seq {
	switch m {
	case truncatesAll:
		return 0
	case noTruncation:
		return min(mineLast, theirsLast)
	default:
		return ownership.CommonPrefix(mine, mineLast, theirs, theirsLast)
	}
}

func (m mutant) decide(now membership, p ownership.Proposal[member], facts ownership.Facts[member]) (membership, ownership.Refusal) {
	if m == transferOutside && p.Kind == ownership.Transfer {
		return membership{Epoch: now.Epoch + 1, Primary: p.Primary, ISR: []member{p.Primary}}, ownership.Accepted
	}
	return ownership.Decide(now, p, facts)
}

func (m mutant) mayOpen(config membership, last, applied ownership.Seq, acked func(member) (ownership.Seq, bool)) bool {
	switch m {
	case openUnacked:
		config.ISR = []member{config.Primary}
	case openUnapplied:
		applied = last
	}
	return ownership.MayOpen(config, last, last, applied, acked)
}

func (m mutant) continues(was, next membership, as role) bool {
	return (as == open || m == continuesClosed && as == opening) && ownership.Continues(was, next)
}

func (m mutant) restart(now membership, was, is member, up func(member) bool, prefer func([]member) member) (membership, ownership.Outcome) {
	if m == epochReused && was == is || m == expandByNode {
		return now, ownership.Kept
	}
	return ownership.Restart(now, was, is, up, prefer)
}

func (m mutant) succeed(now membership, up func(member) bool, prefer func([]member) member, nodes int) (membership, ownership.Outcome) {
	if m != promoteOutside || !now.Assigned() || up(now.Primary) {
		return ownership.Succeed(now, up, prefer)
	}
	next := now
	next.Epoch++
	for node := range nodes {
		if x := memberOf(node, 0); up(x) && !slices.Contains(now.ISR, x) {
			next.Primary, next.ISR = x, []member{x}
			return next, ownership.Moved
		}
	}
	return ownership.Succeed(now, up, prefer)
}

// Bounds in which mutants are caught soon.
var (
	soleDisk    = bounds{nodes: 2, slots: 1, epochs: 3, writes: 2, crashes: 1, reads: true, isr: sole()}
	soleMemory  = bounds{nodes: 2, slots: 1, epochs: 3, writes: 2, crashes: 1, memory: true, isr: sole()}
	soleCut     = bounds{nodes: 2, slots: 1, epochs: 3, writes: 2, suspicions: 1, reads: true, isr: sole()}
	pairDisk    = bounds{nodes: 2, slots: 1, epochs: 3, writes: 2, crashes: 1, suspicions: 1, isr: pair()}
	pairRead    = bounds{nodes: 2, slots: 1, epochs: 3, writes: 2, suspicions: 1, reads: true, isr: pair()}
	pairTwice   = bounds{nodes: 2, slots: 1, epochs: 3, crashes: 2, memory: true, isr: pair()}
	twoSlots    = bounds{nodes: 2, slots: 2, epochs: 2, writes: 1, suspicions: 1, reads: true, isr: pair()}
	threeCopies = bounds{nodes: 3, slots: 1, epochs: 2, writes: 1, suspicions: 1, isr: trio()}
	restored    = bounds{nodes: 2, slots: 1, epochs: 4, writes: 1, suspicions: 1, restores: 1,
		isr: pair(), awaitEverybody: true}
	restoredSole = bounds{nodes: 2, slots: 1, epochs: 4, writes: 1, suspicions: 1, restores: 1,
		isr: sole(), awaitEverybody: true}
)

// Each way to break the protocol is found: most by what clients would see alone, the others by the invariant
// that they break. The numbers of steps are those of the shortest trace.
func TestMutantsAreCaught(t *testing.T) {
	f := func(name string, broken mutant, within bounds, want string, steps int) {
		if raced && steps > 7 {
			return
		}
		t.Run(name, func(t *testing.T) {
			promise := want == lostWrite || want == staleRead || want == twoPrimaries
			search := search{model: &model{bounds: within, mutant: broken}, promises: promise, limit: 2_000_000}
			found := search.run()
			if found.broken != want || len(found.trace) != steps {
				t.Errorf("want %q in %d steps; %v", want, steps, found)
			}
			t.Log(found)
		})
	}
	f("writes need the in-sync set alone", commitByISR, soleDisk, lostWrite, 7)
	f("reads are confirmed by the in-sync set alone", readByISR, soleCut, staleRead, 12)
	f("pending shrinks by itself", pendingShrinks, soleDisk, lostWrite, 8)
	f("a seal times out", unseals, pairDisk, "7: a sealed primary serves", 6)
	f("an epoch is used again after a restart", epochReused, soleDisk, lostWrite, 11)
	f("primary by a configuration of a former process", oldConfiguration, soleDisk, "9: a process is primary in an epoch made before it registered", 3)
	f("no truncation", noTruncation, pairDisk, lostWrite, 11)
	f("a member in sync begins anew", truncatesAll, pairDisk, lostWrite, 7)
	f("deletion by an older configuration", deleteByOlder, soleDisk, lostWrite, 9)
	f("members are nodes, not stores", expandByNode, soleMemory, lostWrite, 10)
	f("expanded early", expandEarly, soleDisk, lostWrite, 5)
	f("transferred to whoever", transferOutside, soleCut, lostWrite, 6)
	f("opened without acks", openUnacked, pairRead, "8: a primary serves before everybody in sync acknowledged its log", 4)
	f("continued before it opened", continuesClosed, pairRead, staleRead, 11)
	f("opened before it applied", openUnapplied, pairRead, staleRead, 9)
	f("acks of lower epochs count", lowerAcks, pairDisk, lostWrite, 12)
	f("lower epochs are obeyed", lowerEpochs, pairDisk, lostWrite, 6)
	f("the epoch is not durable", adoptedForgotten, pairDisk, lostWrite, 8)
	f("backups apply at once", applyUncommitted, threeCopies, "what was applied is cut off", 5)
	f("promoted outside the in-sync set", promoteOutside, soleCut, lostWrite, 3)
	f("proposals are decided in any epoch", casWithoutEpoch, soleDisk, lostWrite, 10)
	f("recovered before reports", recoverEarly, restored, lostWrite, 7)
	f("recovered once the known in-sync set has reported", recoverKnowing, restoredSole, lostWrite, 13)
	f("a former generation is believed", oldGeneration, restored, lostWrite, 9)
	f("one answer for all slots", batchWhole, twoSlots, staleRead, 9)
	f("a read is confirmed by what came before", confirmationKept, pairRead, staleRead, 10)
	f("a former process registers late", staleBoot, pairTwice, "the session of a process is given to one that ended before it began", 6)
}

// Each way to leave a slot unserved is found, and loses nothing.
func TestWedgesAreFound(t *testing.T) {
	f := func(name string, broken mutant) {
		t.Run(name, func(t *testing.T) {
			model := &model{bounds: moveCut, mutant: broken}
			g := model.graph()
			wedged := g.wedged(model.served)
			if len(wedged) == 0 {
				t.Fatalf("none in %d states", len(g.states))
			}
			t.Logf("%d of %d states, the first after %d steps", len(wedged), len(g.states), len(g.trace(wedged[0])))
		})
	}
	f("a transfer to a node that is down", takesOverDown)
	f("opening waits for the dead", opensPatiently)
	f("a seal waits for the dead", sealsForever)
}
