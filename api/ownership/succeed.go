package ownership

// Outcome is what became of a slot whose member came back or went down.
type Outcome uint8

const (
	Kept     Outcome = 0 // nothing changed
	Moved    Outcome = 1 // another member is primary, or one left
	Reopened Outcome = 2 // the same primary in a new epoch
	Lost     Outcome = 3 // the only copy is gone with its process
	Stranded Outcome = 4 // the primary is down and no member of the in-sync set is up
)

// Succeed is the configuration once nodes are down: where the primary is, a member that is up takes over, the
// first by prefer; members that are down leave with it, so that opening waits for nobody dead.
func Succeed[M comparable](now Config[M], up func(M) bool, prefer func([]M) M) (Config[M], Outcome) {
	if !now.Assigned() || up(now.Primary) {
		return now, Kept
	}
	var alive []M
	for _, m := range now.ISR {
		if up(m) {
			alive = append(alive, m)
		}
	}
	if len(alive) == 0 {
		return now, Stranded
	}
	return Config[M]{Epoch: now.Epoch + 1, Primary: prefer(alive), ISR: alive}, Moved
}

// Restart is the configuration once a new process of a member registered. A store on disk (was == is) kept
// its log, and stays in sync; what a store in memory held is gone, and so is its membership. In any case the
// new process is primary only in an epoch made now: what its predecessor promised, it does not know.
func Restart[M comparable](now Config[M], was, is M, up func(M) bool, prefer func([]M) M) (Config[M], Outcome) {
	if !now.InSync(was) {
		return now, Kept
	}
	isr := now.ISR
	if was != is {
		isr = without(isr, was)
	}
	if was != now.Primary {
		if was == is {
			return now, Kept
		}
		return Config[M]{Epoch: now.Epoch + 1, Primary: now.Primary, ISR: isr}, Moved
	}
	var heirs []M
	for _, m := range isr {
		if m != is && up(m) {
			heirs = append(heirs, m)
		}
	}
	switch {
	case len(heirs) > 0:
		return Config[M]{Epoch: now.Epoch + 1, Primary: prefer(heirs), ISR: isr}, Moved
	case was == is:
		return Config[M]{Epoch: now.Epoch + 1, Primary: is, ISR: isr}, Reopened
	case len(isr) > 0:
		return now, Stranded // the others are down: one of them must come back
	default:
		return now, Lost
	}
}
