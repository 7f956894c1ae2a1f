package ownership_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
)

func TestRoleIn(t *testing.T) {
	now := config{Epoch: 4, Primary: "a", ISR: []string{"a", "b"}}
	f := func(c config, self string, read, since uint64, want ownership.Role) {
		t.Helper()
		if got := ownership.RoleIn(c, self, read, since); got != want {
			t.Errorf("%s, read at %d, registered at %d: %d, want %d", self, read, since, got, want)
		}
	}
	f(now, "a", 9, 9, ownership.Primary)
	f(now, "a", 8, 9, ownership.Backup) // made for its predecessor, perhaps
	f(now, "b", 9, 9, ownership.Backup)
	f(now, "c", 9, 9, ownership.Outside)
	f(config{Epoch: 1}, "", 9, 9, ownership.Outside)
}

func TestJudge(t *testing.T) {
	f := func(adopted, offered api.Epoch, want ownership.Accepts) {
		t.Helper()
		if got := ownership.Judge(adopted, offered); got != want {
			t.Errorf("at %d, offered %d: %d, want %d", adopted, offered, got, want)
		}
	}
	f(5, 4, ownership.Refuse)
	f(5, 5, ownership.Obey)
	f(5, 6, ownership.Adopt)
	f(0, 1, ownership.Adopt)
}

func TestConfirms(t *testing.T) {
	if !ownership.Confirms(5, 5) || ownership.Confirms(5, 4) || ownership.Confirms(4, 5) {
		t.Error("only the same epoch is confirmed")
	}
}

func TestNeed(t *testing.T) {
	f := func(pending, want []string) {
		t.Helper()
		c := config{Epoch: 1, Primary: "a", ISR: []string{"b", "a"}}
		if got := ownership.Need(c, pending); !slices.Equal(got, want) {
			t.Errorf("with %v pending: %v, want %v", pending, got, want)
		}
	}
	f(nil, []string{"b"})
	f([]string{"c"}, []string{"b", "c"})
	f([]string{"a", "b", "c", "c"}, []string{"b", "c"})
}

// known makes the acks of a test: members that it does not list have acknowledged nothing in this epoch.
func known(acks map[string]ownership.Seq) func(string) (ownership.Seq, bool) {
	return func(m string) (ownership.Seq, bool) { seq, ok := acks[m]; return seq, ok }
}

type acks = map[string]ownership.Seq

func TestCommitted(t *testing.T) {
	f := func(commit, durable ownership.Seq, got acks, want ownership.Seq) {
		t.Helper()
		if reached := ownership.Committed(commit, durable, []string{"b", "c"}, known(got)); reached != want {
			t.Errorf("commit %d, durable %d, acks %v: %d, want %d", commit, durable, got, reached, want)
		}
	}
	f(0, 5, acks{"b": 5, "c": 3}, 3)
	f(0, 2, acks{"b": 5, "c": 3}, 2)
	f(4, 5, acks{"b": 5, "c": 3}, 4)
	f(1, 5, acks{"b": 5}, 1)
	if got := ownership.Committed(0, 7, nil, known(nil)); got != 7 {
		t.Errorf("alone: %d", got)
	}
}

func TestMayOpen(t *testing.T) {
	c := config{Epoch: 2, Primary: "a", ISR: []string{"a", "b"}}
	f := func(last, durable, applied ownership.Seq, got acks, want bool) {
		t.Helper()
		if may := ownership.MayOpen(c, last, durable, applied, known(got)); may != want {
			t.Errorf("last %d, durable %d, applied %d, acks %v: %t", last, durable, applied, got, may)
		}
	}
	f(3, 3, 3, acks{"b": 3}, true)
	f(3, 3, 3, acks{"b": 2}, false)
	f(3, 3, 3, nil, false)
	f(3, 2, 3, acks{"b": 3}, false)
	f(3, 3, 2, acks{"b": 3}, false)
	f(3, 4, 4, acks{"b": 4}, true)
	f(0, 0, 0, acks{"b": 0}, true)
}

// The model's trace: n0 aborts, reads epoch 2, and opens before n1 has heard of it.
func TestMayOpenWaitsForAnEmptyLogToo(t *testing.T) {
	c := config{Epoch: 2, Primary: "a", ISR: []string{"a", "b"}}
	if ownership.MayOpen(c, 0, 0, 0, known(nil)) {
		t.Error("it opened though nobody else has acknowledged the epoch")
	}
	c.ISR = []string{"a"}
	if !ownership.MayOpen(c, 0, 0, 0, known(nil)) {
		t.Error("alone there is nobody to wait for")
	}
}

func TestContinues(t *testing.T) {
	f := func(was, next config, want bool) {
		t.Helper()
		if continues := ownership.Continues(was, next); continues != want {
			t.Errorf("%+v after %+v: %t", next, was, continues)
		}
	}
	f(config{Epoch: 2, Primary: "a"}, config{Epoch: 3, Primary: "a"}, true)
	f(config{Epoch: 2, Primary: "a"}, config{Epoch: 4, Primary: "a"}, false)
	f(config{Epoch: 2, Primary: "a"}, config{Epoch: 3, Primary: "b"}, false)
}

func TestMayExpand(t *testing.T) {
	f := func(m string, pending []string, commit ownership.Seq, got acks, want bool) {
		t.Helper()
		if may := ownership.MayExpand(m, pending, commit, known(got)); may != want {
			t.Errorf("%s of %v, commit %d, acks %v: %t", m, pending, commit, got, may)
		}
	}
	f("c", []string{"c"}, 3, acks{"c": 3}, true)
	f("c", []string{"c"}, 3, acks{"c": 2}, false)
	f("c", []string{"c"}, 0, nil, false)
	f("c", []string{"d"}, 3, acks{"c": 3}, false)
}

func TestMaySeal(t *testing.T) {
	c := config{Epoch: 2, Primary: "a", ISR: []string{"a", "b"}}
	f := func(to string, pending []string, last, commit ownership.Seq, got acks, want bool) {
		t.Helper()
		if may := ownership.MaySeal(c, to, pending, last, commit, known(got)); may != want {
			t.Errorf("to %s, pending %v, last %d, commit %d, acks %v: %t", to, pending, last, commit, got, may)
		}
	}
	f("b", nil, 3, 3, acks{"b": 3}, true)
	f("b", nil, 3, 2, acks{"b": 3}, false)
	f("b", nil, 3, 3, acks{"b": 2}, false)
	f("b", nil, 0, 0, nil, false)
	f("b", []string{"c"}, 3, 3, acks{"b": 3}, false)
	f("a", nil, 3, 3, acks{"a": 3}, false)
	f("c", nil, 3, 3, acks{"c": 3}, false)
}

func TestMayTransfer(t *testing.T) {
	if !ownership.MayTransfer(4, 4, 9, 9) || ownership.MayTransfer(5, 4, 9, 9) || ownership.MayTransfer(4, 4, 8, 9) || ownership.MayTransfer(4, 4, 10, 9) {
		t.Error("the heir takes over in the same epoch, with the same log, or not at all")
	}
}

func TestMayDelete(t *testing.T) {
	f := func(self string, wanted bool, acked api.Epoch, want bool) {
		t.Helper()
		c := config{Epoch: 4, Primary: "a", ISR: []string{"a", "b"}}
		if may := ownership.MayDelete(c, self, wanted, acked); may != want {
			t.Errorf("%s, wanted %t, acked %d: %t", self, wanted, acked, may)
		}
	}
	f("c", false, 3, true)
	f("c", false, 4, false) // it may be joining
	f("c", true, 3, false)
	f("b", false, 3, false)
}

type history = []ownership.EpochStart

func TestCommonPrefix(t *testing.T) {
	f := func(mine history, mineLast ownership.Seq, theirs history, theirsLast, want ownership.Seq) {
		t.Helper()
		if got := ownership.CommonPrefix(mine, mineLast, theirs, theirsLast); got != want {
			t.Errorf("%v to %d and %v to %d: %d, want %d", mine, mineLast, theirs, theirsLast, got, want)
		}
	}
	f(nil, 0, history{{1, 1}}, 5, 0)
	f(history{{1, 1}}, 3, history{{1, 1}}, 5, 3)
	f(history{{1, 1}, {2, 4}}, 6, history{{1, 1}, {3, 3}}, 9, 2)
	f(history{{1, 1}, {2, 4}}, 6, history{{1, 1}, {2, 4}, {3, 6}}, 9, 5)
	f(history{{1, 1}, {3, 5}}, 2, history{{1, 1}, {4, 4}}, 9, 2) // it never caught up in epoch 3
	f(history{{2, 1}}, 4, history{{1, 1}}, 4, 0)
}

func TestTruncated(t *testing.T) {
	f := func(h history, last ownership.Seq, epoch api.Epoch, want history) {
		t.Helper()
		if got := ownership.Truncated(h, last, epoch); !slices.Equal(got, want) {
			t.Errorf("%v to %d, epoch %d: %v, want %v", h, last, epoch, got, want)
		}
	}
	f(nil, 0, 1, history{{1, 1}})
	f(history{{1, 1}}, 3, 2, history{{1, 1}, {2, 4}})
	f(history{{1, 1}, {2, 4}}, 3, 3, history{{1, 1}, {3, 4}}) // nothing was appended in epoch 2
	f(history{{1, 1}, {2, 4}}, 5, 2, history{{1, 1}, {2, 4}})
}

// A log is the epoch of each of its records, with the history that tells of them.
type simulatedLog struct {
	records []api.Epoch
	history history
}

// lead starts an epoch on a log as its primary does, and appends.
func (l *simulatedLog) lead(epoch api.Epoch, records int) {
	l.history = ownership.Truncated(l.history, ownership.Seq(len(l.records)), epoch)
	for range records {
		l.records = append(l.records, epoch)
	}
}

// follow takes over as much of a primary's log as came through.
func (l *simulatedLog) follow(primary *simulatedLog, through int) {
	common := ownership.CommonPrefix(l.history, ownership.Seq(len(l.records)), primary.history, ownership.Seq(len(primary.records)))
	l.records = slices.Clone(l.records[:common])
	l.history = slices.Clone(primary.history)
	l.records = append(l.records, primary.records[common:max(int(common), min(len(primary.records), through))]...)
}

// shared is how many records two logs really share. Each epoch has one primary, so records of one epoch at one
// place are the same.
func (l *simulatedLog) shared(other *simulatedLog) (count ownership.Seq) {
	for i := range min(len(l.records), len(other.records)) {
		if l.records[i] != other.records[i] {
			break
		}
		count++
	}
	return count
}

// Whoever led and followed whom, however far: the common prefix never is longer than what logs share, it is
// the same from both sides, and histories ascend.
func TestCommonPrefixIsShared(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		logs := make([]simulatedLog, 3)
		for epoch := api.Epoch(1); epoch <= api.Epoch(rapid.IntRange(1, 8).Draw(t, "epochs")); epoch++ {
			primary := rapid.IntRange(0, 2).Draw(t, "primary")
			logs[primary].lead(epoch, rapid.IntRange(0, 3).Draw(t, "records"))
			for i := range logs {
				if i != primary && rapid.Bool().Draw(t, "follows") {
					logs[i].follow(&logs[primary], rapid.IntRange(0, 12).Draw(t, "through"))
				}
			}
			checkLogs(t, logs)
		}
	})
}

func checkLogs(t *rapid.T, logs []simulatedLog) {
	for i := range logs {
		a := &logs[i]
		if !slices.IsSortedFunc(a.history, func(x, y ownership.EpochStart) int { return int(x.Epoch) - int(y.Epoch) }) {
			t.Fatalf("the history does not ascend: %v", a.history)
		}
		for j := range logs {
			b := &logs[j]
			there := ownership.CommonPrefix(a.history, ownership.Seq(len(a.records)), b.history, ownership.Seq(len(b.records)))
			back := ownership.CommonPrefix(b.history, ownership.Seq(len(b.records)), a.history, ownership.Seq(len(a.records)))
			if there != back || there > a.shared(b) {
				t.Fatalf("%v and %v: %d and %d, and they share %d", *a, *b, there, back, a.shared(b))
			}
		}
	}
}

// The history of a log names the epoch of each of its records.
func TestTruncatedTellsEachRecordsEpoch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var log simulatedLog
		for epoch := api.Epoch(1); epoch <= 8; epoch++ {
			log.records = log.records[:rapid.IntRange(0, len(log.records)).Draw(t, "kept")]
			log.lead(epoch, rapid.IntRange(0, 3).Draw(t, "records"))
			for i, want := range log.records {
				if got := epochOf(log.history, ownership.Seq(i+1)); got != want {
					t.Fatalf("record %d of %v is told to be of epoch %d: %v", i+1, log.records, got, log.history)
				}
			}
		}
	})
}

func epochOf(h history, seq ownership.Seq) (epoch api.Epoch) {
	for _, entry := range h {
		if entry.Start <= seq {
			epoch = entry.Epoch
		}
	}
	return epoch
}
