package peers

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/durable"
)

// AliveWithin is how fresh an exchange must be for a member to count as alive.
const AliveWithin = 3 * time.Second

const (
	directoryName = "addresses.json"
	peersMax      = 64
	// textMax and listMax bound what one member tells of itself: what all members tell of all must fit into
	// one message.
	textMax = 128
	listMax = 16
	// strangerKept is how long a silent process is remembered that is no member.
	strangerKept = time.Minute
)

// Directory knows where each member is now. The entry with the higher boot count wins, so the newest
// address spreads whoever passes it on. It is safe for concurrent use.
type Directory struct {
	path     string
	describe func(*api.PeerInfo) // fills in what changes of the member itself

	saving sync.Mutex // held while writing to disk, which may take long; taken before mu

	mu    sync.Mutex // never held for long: Raft waits for addresses
	self  api.PeerInfo
	known map[api.MemberID]*entry
	asked bool // every address to join was asked at least once
}

// ErrElsewhere refuses a member that is still heard from at another address: two processes must not
// share an identity.
var ErrElsewhere = errors.New("the member is still heard from at another address")

// ErrRecovered ends a member that its cluster has gone on without: a person made another member the
// only one of it, or restored it there. Two control planes of one cluster must not stand side by side.
var ErrRecovered = errors.New("this cluster was recovered elsewhere, without this member")

// ErrOtherCluster refuses a member of another cluster.
var ErrOtherCluster = errors.New("the member is of another cluster")

type entry struct {
	info  api.PeerInfo
	sees  []api.MemberID // whom it knows, as it said itself
	heard time.Time      // zero: only from hearsay or from disk
	since time.Time      // when the entry was made; zero: from disk
	// appliedBefore is the log index it had applied when it spoke the time before.
	appliedBefore uint64
}

// OpenDirectory starts with what an earlier run learned. describe is called for every message.
func OpenDirectory(dataDir string, self api.PeerInfo, describe func(*api.PeerInfo)) *Directory {
	d := &Directory{
		path: filepath.Join(dataDir, directoryName), describe: describe,
		self: self, known: make(map[api.MemberID]*entry),
	}
	var remembered []api.PeerInfo
	if raw, err := os.ReadFile(d.path); err == nil && json.Unmarshal(raw, &remembered) == nil {
		for _, info := range remembered {
			if info.ID != self.ID && validatePeer(info) == nil {
				d.known[info.ID] = &entry{info: whereabouts(info)} // as it was: only its own word counts for the rest
			}
		}
	}
	return d
}

// Message is what this member tells the others: itself, and whom it has heard of.
func (d *Directory) Message() api.Peers {
	d.mu.Lock()
	defer d.mu.Unlock()
	self := d.present()
	return api.Peers{Self: self, Known: d.infos(func(known *entry) bool {
		return len(self.Members) == 0 || !known.stranger(self, time.Now(), AliveWithin)
	})}
}

// present is this member as it is now.
func (d *Directory) present() api.PeerInfo {
	self := d.self
	d.describe(&self)
	return self
}

// stranger reports whether a process is no member of self's configuration and has been silent for so long.
func (e *entry) stranger(self api.PeerInfo, now time.Time, silent time.Duration) bool {
	return !slices.Contains(self.Members, e.info.ID) && now.Sub(e.heard) > silent && now.Sub(e.since) > silent
}

// whereabouts is what hearsay tells of a member: where it is. The rest is its own to tell.
func whereabouts(info api.PeerInfo) api.PeerInfo {
	info.HasState, info.Members, info.Nonvoters, info.Configured, info.Awaits, info.Applied = false, nil, nil, 0, nil, 0
	return info
}

func (d *Directory) infos(tell func(*entry) bool) []api.PeerInfo {
	infos := make([]api.PeerInfo, 0, len(d.known))
	for _, known := range d.known {
		if tell(known) {
			infos = append(infos, known.info)
		}
	}
	slices.SortFunc(infos, func(a, b api.PeerInfo) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return infos
}

// Merge takes in what another member told.
func (d *Directory) Merge(message api.Peers, now time.Time) error {
	if err := validatePeer(message.Self); err != nil {
		return err
	}
	changed, err := d.merge(message, now)
	if changed {
		d.save()
	}
	return err
}

// merge answers whether an address worth keeping changed.
func (d *Directory) merge(message api.Peers, now time.Time) (changed bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	self := d.present()
	if told := message.Self.Cluster; told != "" && self.Cluster != "" && told != self.Cluster {
		return false, fmt.Errorf("%w: %s is of %s, this is %s of %s", ErrOtherCluster, message.Self.ID, told, self.ID, self.Cluster)
	}
	changed = d.forgetStrangers(self, now)
	if message.Self.ID == d.self.ID && message.Self.API != d.self.API {
		return changed, fmt.Errorf("%w: this is %s, at %s", ErrElsewhere, d.self.ID, d.self.API)
	}
	if err := checkGeneration(self, message.Self); err != nil {
		return changed, err
	}
	if message.Self.ID != d.self.ID {
		known := d.known[message.Self.ID]
		if known != nil && known.info.API != message.Self.API && now.Sub(known.heard) <= AliveWithin {
			return changed, fmt.Errorf("%w: %s, at %s", ErrElsewhere, message.Self.ID, known.info.API)
		}
		if known != nil {
			known.appliedBefore = known.info.Applied
		}
		changed = d.learn(message.Self, true, now) || changed
		if known := d.known[message.Self.ID]; known != nil {
			known.heard = now
			known.sees = known.sees[:0]
			for _, info := range message.Known {
				known.sees = append(known.sees, info.ID)
			}
		}
	}
	for _, info := range message.Known {
		hearsay := info.ID != d.self.ID && info.ID != message.Self.ID && validatePeer(info) == nil
		if known := d.known[info.ID]; hearsay && (known == nil || now.Sub(known.heard) > AliveWithin) {
			changed = d.learn(info, false, now) || changed
		}
	}
	return changed, nil
}

// checkGeneration finds out that the other member's cluster was this one's, and no longer is. Ids hold
// a nonce, so a member that this one's configuration lists is of this cluster, whatever it calls it now.
func checkGeneration(self, other api.PeerInfo) error {
	related := slices.Contains(self.Members, other.ID) || self.Cluster != "" && self.Cluster == other.Cluster
	if !related || other.Generation <= self.Generation || len(other.Members) == 0 || slices.Contains(other.Members, self.ID) {
		return nil
	}
	return fmt.Errorf("%w: member %s leads it on in generation %d, this one stands at %d",
		ErrRecovered, other.Name, other.Generation, self.Generation)
}

func validatePeer(info api.PeerInfo) error {
	if err := validateSize(info); err != nil {
		return err
	}
	if err := api.ValidateMemberName(info.Name); err != nil {
		return err
	}
	if !strings.HasPrefix(string(info.ID), info.Name+"-") {
		return fmt.Errorf("member id %q is not the name and a nonce", api.Clip(string(info.ID)))
	}
	if err := api.ValidateAddress(info.Raft); err != nil {
		return err
	}
	if info.DNS != "" {
		if err := api.ValidateAddress(net.JoinHostPort(info.DNS, "53")); err != nil {
			return err
		}
	}
	return api.ValidateAddress(addressOf(info.API))
}

// validateSize bounds what a member is remembered and passed on with.
func validateSize(info api.PeerInfo) error {
	longest := max(len(info.ID), len(info.Cluster), len(info.Bootstrap))
	for _, id := range slices.Concat(info.Members, info.Nonvoters) {
		longest = max(longest, len(id))
	}
	for _, name := range info.Awaits {
		longest = max(longest, len(name))
	}
	if longest > textMax {
		return fmt.Errorf("member %q tells of an id, a cluster or settings longer than %d octets", api.Clip(info.Name), textMax)
	}
	if max(len(info.Members), len(info.Nonvoters), len(info.Awaits)) > listMax {
		return fmt.Errorf("member %q tells of more than %d members", api.Clip(info.Name), listMax)
	}
	return nil
}

// addressOf is the host:port of an API's URL.
func addressOf(base string) string {
	return strings.TrimPrefix(strings.TrimPrefix(base, "http://"), "https://")
}

// learn keeps the newer of what is known and what is told; first reports whether the peer speaks for
// itself. It answers whether an address worth keeping changed.
func (d *Directory) learn(info api.PeerInfo, first bool, now time.Time) bool {
	known := d.known[info.ID]
	switch {
	case known == nil && len(d.known) >= peersMax && !(first && d.makeRoom(now)):
		return false
	case known == nil:
		if !first {
			info = whereabouts(info)
		}
		d.known[info.ID] = &entry{info: info, since: now}
		return true
	case info.Boot < known.info.Boot, info.Boot == known.info.Boot && !first:
		return false
	}
	moved := known.info.API != info.API || known.info.Raft != info.Raft || known.info.Boot != info.Boot
	if !first {
		known.info.API, known.info.Raft, known.info.Boot = info.API, info.Raft, info.Boot
		return moved
	}
	known.info = info
	return moved
}

// forgetStrangers drops silent processes that are no members: removed ones, and those never taken in.
// It answers whether there were any.
func (d *Directory) forgetStrangers(self api.PeerInfo, now time.Time) bool {
	if len(self.Members) == 0 {
		return false // nobody is known to be a member
	}
	before := len(d.known)
	for id, known := range d.known {
		if known.stranger(self, now, strangerKept) {
			delete(d.known, id)
		}
	}
	return len(d.known) < before
}

// makeRoom drops a stranger that was not heard of lately for one that speaks for itself.
func (d *Directory) makeRoom(now time.Time) bool {
	self := d.present()
	for id, known := range d.known {
		if known.stranger(self, now, AliveWithin) || known.heard.IsZero() && !slices.Contains(self.Members, id) {
			delete(d.known, id)
			return true
		}
	}
	return false
}

// save is best effort: addresses that are not remembered are learned again.
func (d *Directory) save() {
	d.saving.Lock()
	defer d.saving.Unlock()
	d.mu.Lock()
	infos := d.infos(func(*entry) bool { return true })
	d.mu.Unlock()
	if raw, err := json.Marshal(infos); err == nil {
		_ = durable.WriteFile(d.path, append(raw, '\n'))
	}
}

// RaftAddress is where a member's Raft is dialled now.
func (d *Directory) RaftAddress(id api.MemberID) (string, error) {
	info, known := d.Info(id)
	if !known {
		return "", fmt.Errorf("cannot resolve member %s: it was not heard of yet", id)
	}
	return info.Raft, nil
}

// Info is what a member last told, this one included.
func (d *Directory) Info(id api.MemberID) (api.PeerInfo, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if id == d.self.ID {
		return d.present(), true
	}
	if known := d.known[id]; known != nil {
		return known.info, true
	}
	return api.PeerInfo{}, false
}

// Alive reports whether the member spoke for itself lately.
func (d *Directory) Alive(id api.MemberID, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if id == d.self.ID {
		return true
	}
	known := d.known[id]
	return known != nil && now.Sub(known.heard) <= AliveWithin
}

// AppliedBefore is the log index that a member had applied a round of exchange ago.
func (d *Directory) AppliedBefore(id api.MemberID) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.known[id]; known != nil {
		return known.appliedBefore
	}
	return 0
}

// MarkAsked notes that every address to join was asked.
func (d *Directory) MarkAsked() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = true
}

// view is the directory as the founding decision looks at it: members that spoke for themselves lately.
func (d *Directory) view(now time.Time) (self api.PeerInfo, others []witness, asked bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, known := range d.known {
		if now.Sub(known.heard) <= AliveWithin {
			others = append(others, witness{info: known.info, sees: slices.Clone(known.sees)})
		}
	}
	return d.self, others, d.asked
}
