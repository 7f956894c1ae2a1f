package membership

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
)

// members reads a list: "c1* c2 c3! c4?" is c1 leading, c2, c3 dead, c4 a nonvoter; "~": it lags.
func members(text string) []Member {
	var list []Member
	for _, word := range strings.Fields(text) {
		name := strings.TrimRight(word, "*!?~")
		dead := strings.Contains(word, "!")
		member := Member{
			ID: api.MemberID(name), Name: strings.TrimSuffix(name, "'"), Voter: !strings.Contains(word, "?"),
			Leader: strings.Contains(word, "*"), Alive: !dead, KeepsUp: !dead && !strings.Contains(word, "~"), Kept: true,
		}
		if dead {
			member.Silent = time.Hour
		}
		list = append(list, member)
	}
	return list
}

func recorded(list []Member) (records []Record) {
	for _, member := range list {
		if !slices.ContainsFunc(records, func(r Record) bool { return r.Name == member.Name }) {
			records = append(records, Record{ID: member.ID, Name: member.Name})
		}
	}
	return records
}

func show(step Step) string {
	switch {
	case step.Add != nil:
		return "add " + string(step.Add.ID)
	case step.Promote != "":
		return "promote " + string(step.Promote)
	case step.Remove != "":
		return "remove " + string(step.Remove)
	case step.Transfer != "":
		return "transfer " + string(step.Transfer)
	case step.Settled != "":
		return "settled " + step.Settled
	case step.Record != nil:
		return "record " + string(step.Record.ID)
	default:
		return "forget " + string(step.Forget)
	}
}

func TestNext(t *testing.T) {
	f := func(list string, edit func(*View), want string) {
		t.Helper()
		view := View{Members: members(list), Level: 2}
		view.Records = recorded(view.Members)
		edit(&view)
		got := "nothing"
		if step, due := Next(view); due {
			got = show(step)
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", list, got, want)
		}
	}
	add := func(v *View) { v.Intents = []Intent{{Name: "c4"}} }
	replace := func(old api.MemberID) func(*View) {
		return func(v *View) { v.Intents = []Intent{{Name: "c4", Replaces: old}} }
	}
	come := func(edit func(*View), levels ...int) func(*View) {
		return func(v *View) {
			edit(v)
			for i, level := range levels {
				v.Candidates = append(v.Candidates, Candidate{ID: api.MemberID(fmt.Sprint("c4-", i)), Name: "c4", Level: level})
			}
		}
	}
	none := func(*View) {}
	f("c1* c2 c3", none, "nothing")
	f("c1* c2 c3", func(v *View) { v.Records = v.Records[:2] }, "record c3")
	f("c1* c2", func(v *View) { v.Records = append(v.Records, Record{"c3", "c3"}) }, "forget c3")
	f("c1* c2", func(v *View) { v.Records, v.Level = append(v.Records, Record{"c3", "c3"}), 1 }, "nothing")
	f("c1* c2 c3", add, "nothing")
	f("c1* c2 c3", come(none, 2), "nothing") // nobody asked
	f("c1* c2 c3", come(add, 2), "add c4-0")
	f("c1* c2 c3", come(add, 2, 2), "nothing") // which?
	f("c1* c2 c3", come(add, 1), "nothing")    // too old
	f("c1* c2 c3", func(v *View) { come(add, 2)(v); v.Level = 1 }, "nothing")
	f("c1* c2 c3 c4?", none, "nothing") // nobody asks for it any more
	f("c1* c2 c3 c4?", add, "promote c4")
	f("c1* c2 c3 c4?~", add, "nothing")
	f("c1* c2 c3 c4?!", add, "nothing")
	f("c1* c2 c3 c4?", func(v *View) { add(v); v.Members[3].Kept = false }, "nothing")
	f("c1* c2 c3 c4", add, "settled c4")
	f("c1* c2 c3! c4", replace("c3"), "remove c3")
	f("c1* c2! c3! c4", replace("c3"), "remove c3")
	f("c1* c2! c3 c4", replace("c3"), "remove c3")
	f("c1* c2! c3 c4!", replace("c3"), "nothing") // c1 would be one of three
	f("c1* c2 c3 c4", replace("c1"), "transfer c4")
	f("c1* c2 c3 c4~", replace("c1"), "transfer c2")
	f("c1* c2~ c3~ c4~", replace("c1"), "nothing")
	f("c1* c2 c4", replace("c3"), "settled c4")
	f("c1* c2! c2'?", func(v *View) { v.Intents = []Intent{{Name: "c2", Replaces: "c2"}} }, "promote c2'")
	f("c1* c2! c2' c3", func(v *View) { v.Intents = []Intent{{Name: "c2", Replaces: "c2"}} }, "remove c2")
	f("c1* c2' c3", func(v *View) {
		v.Records[1].ID, v.Intents = "c2", []Intent{{Name: "c2", Replaces: "c2"}}
	}, "forget c2")

	dead := func(v *View) { v.DeadAfter = time.Minute }
	f("c1* c2 c3 c4 c5!", none, "nothing")
	f("c1* c2 c3 c4 c5!", dead, "remove c5")
	f("c1* c2 c3 c4! c5!", dead, "remove c4")
	f("c1* c2 c3! c4! c5!", dead, "nothing") // two of four are no majority
	f("c1* c2 c3!", dead, "nothing")         // two would remain
	f("c1* c2 c3 c4!", dead, "remove c4")
	f("c1* c2 c3~ c4!", dead, "nothing")    // perhaps by a snapshot
	f("c1* c2 c3 c4! c5?", dead, "nothing") // one is on its way
	f("c1* c2 c3 c4!", func(v *View) { dead(v); add(v) }, "settled c4")
	f("c1* c2 c3 c4!", func(v *View) { v.DeadAfter = 2 * time.Hour }, "nothing")
}

// TestStepsKeepAMajority plays random operators, deaths and returns against a model of the control plane.
// Every step leaves a live majority, the leader is never removed, and the dead are cleaned up to no
// fewer than three. Once all live, all intents are fulfilled.
func TestStepsKeepAMajority(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		m := newModel(t, random)
		for range 150 {
			m.disturb()
			m.step()
		}
		m.settle()
	}
}

type model struct {
	t      *testing.T
	random *rand.Rand
	view   View
	next   int // number of the next folder
}

func newModel(t *testing.T, random *rand.Rand) *model {
	m := &model{t: t, random: random, next: 10, view: View{Members: members("c1* c2 c3"), Level: 2}}
	if random.IntN(2) == 0 {
		m.view.DeadAfter = time.Minute
	}
	return m
}

func (m *model) live() (live, voters int) {
	for _, member := range m.view.Members {
		if member.Voter {
			voters++
			if member.Alive {
				live++
			}
		}
	}
	return live, voters
}

// disturb has something happen, as long as a majority lives: without one there is no leader to decide.
func (m *model) disturb() {
	v := &m.view
	place := m.random.IntN(len(v.Members))
	member := &v.Members[place]
	switch m.random.IntN(7) {
	case 0: // dies
		if live, voters := m.live(); !member.Leader && member.Alive && (!member.Voter || live-1 > voters/2) {
			member.Alive, member.KeepsUp, member.Silent = false, false, time.Hour
		}
	case 1: // comes back
		member.Alive, member.Silent = true, 0
	case 2: // catches up
		member.KeepsUp, member.Kept = member.Alive, true
	case 3: // lags
		member.KeepsUp = member.Leader
	case 4: // another is elected
		if member.Alive && member.Voter {
			m.elect(member.ID)
		}
	case 5:
		m.ask(fmt.Sprint("d", m.random.IntN(4)), member.ID)
	case 6:
		m.arrive()
	}
}

func (m *model) elect(id api.MemberID) {
	for i := range m.view.Members {
		m.view.Members[i].Leader = m.view.Members[i].ID == id
		m.view.Members[i].KeepsUp = m.view.Members[i].KeepsUp || m.view.Members[i].Leader
	}
}

func (m *model) ask(name string, old api.MemberID) {
	replaces := ""
	if m.random.IntN(2) == 0 {
		replaces = string(old)
	}
	id, settled, problem := m.view.Resolve(name, replaces)
	taken := slices.ContainsFunc(m.view.Intents, func(i Intent) bool { return i.Name == name || id != "" && i.Replaces == id })
	if problem == nil && !settled && !taken {
		m.view.Intents = append(m.view.Intents, Intent{Name: name, Replaces: id})
	}
}

// arrive starts a process for the first member that is asked for and did not come.
func (m *model) arrive() {
	for _, intent := range m.view.Intents {
		_, here := m.view.Newcomer(intent)
		_, waits := m.view.Candidate(intent.Name)
		if !here && !waits {
			m.next++
			m.view.Candidates = append(m.view.Candidates, Candidate{ID: api.MemberID(fmt.Sprint(intent.Name, "-", m.next)), Name: intent.Name, Level: 2})
			return
		}
	}
}

// step carries out what is due and checks the invariants. It answers whether something was.
func (m *model) step() bool {
	v := &m.view
	step, due := Next(*v)
	if !due {
		return false
	}
	_, before := m.live()
	place := slices.IndexFunc(v.Members, func(member Member) bool { return member.ID == step.Promote || member.ID == step.Remove })
	switch {
	case step.Add != nil:
		v.Candidates = slices.DeleteFunc(v.Candidates, func(c Candidate) bool { return c.ID == step.Add.ID })
		v.Members = append(v.Members, Member{ID: step.Add.ID, Name: step.Add.Name, Alive: true})
	case step.Promote != "":
		v.Members[place].Voter = true
	case step.Remove != "":
		if v.Members[place].Leader {
			m.t.Fatalf("the leader removes itself: %+v", v)
		}
		if asked := slices.ContainsFunc(v.Intents, func(i Intent) bool { return i.Replaces == step.Remove }); !asked && before-1 < 3 {
			m.t.Fatalf("cleaned up to %d voters", before-1)
		}
		v.Members = slices.Delete(v.Members, place, place+1)
	case step.Transfer != "":
		m.elect(step.Transfer)
	case step.Settled != "":
		v.Intents = slices.DeleteFunc(v.Intents, func(i Intent) bool { return i.Name == step.Settled })
	case step.Record != nil:
		v.Records = append(v.Records, *step.Record)
	default:
		v.Records = slices.DeleteFunc(v.Records, func(r Record) bool { return r.ID == step.Forget })
	}
	if live, voters := m.live(); live <= voters/2 || len(v.Members) > MembersMax+1 {
		m.t.Fatalf("%s leaves %d live of %d voters, %d members", show(step), live, voters, len(v.Members))
	}
	return true
}

// settle has everybody live and keep up; then all that was asked for comes about.
func (m *model) settle() {
	const stepsMax = 200
	for range stepsMax {
		for i := range m.view.Members {
			m.view.Members[i].Alive, m.view.Members[i].KeepsUp, m.view.Members[i].Kept, m.view.Members[i].Silent = true, true, true, 0
		}
		m.arrive()
		if !m.step() {
			break
		}
	}
	if len(m.view.Intents) > 0 || len(m.view.Records) != len(m.view.Members) {
		m.t.Fatalf("never settled: %+v", m.view)
	}
}

func TestPace(t *testing.T) {
	start := time.Unix(0, 0)
	pace := NewPace()
	at := func(seconds float64, applied, leader uint64, want bool) {
		t.Helper()
		pace.Note("c4", applied, leader, start.Add(time.Duration(seconds*float64(time.Second))))
		if got := pace.KeepsUp("c4"); got != want {
			t.Errorf("after %v s: keeps up %v, want %v", seconds, got, want)
		}
	}
	at(0, 0, 1000, false)
	at(1, 500, 2000, false)
	at(5, 900, 5000, false)  // the first round takes longer than a round may
	at(6, 1000, 6000, false) // done, but slowly; the next is up to 6000
	at(8, 6000, 7000, false) // one short round
	at(9, 7000, 8000, true)  // two
	at(14, 7500, 9000, false)
}
