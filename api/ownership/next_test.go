package ownership_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/stead-io/stead/api/ownership"
)

type (
	nextStep = ownership.Step[string]
	view     = ownership.View[string]
)

// seen makes standings: members that are not listed are up and have acknowledged nothing.
func seen(standings map[string]ownership.Standing) func(string) ownership.Standing {
	return func(m string) ownership.Standing {
		if standing, listed := standings[m]; listed {
			return standing
		}
		return ownership.Standing{Up: true}
	}
}

func TestNext(t *testing.T) {
	up := ownership.Standing{Up: true, Known: true, CaughtUp: true, Acked: 5}
	silent := ownership.Standing{Up: true, Silent: true, Known: true, Acked: 3}
	down := ownership.Standing{Known: true, Acked: 5}
	type of = map[string]ownership.Standing
	f := func(isr, want, pending []string, missing int, standings of, step nextStep) {
		t.Helper()
		got := ownership.Next(view{
			Config: config{Epoch: 3, Primary: "a", ISR: isr}, Want: want, Missing: missing, Pending: pending, Commit: 5, Of: seen(standings),
		})
		if !reflect.DeepEqual(got, step) {
			t.Errorf("isr %v, want %v, pending %v: %+v, want %+v", isr, want, pending, got, step)
		}
	}
	a, ab, abc, ac := []string{"a"}, []string{"a", "b"}, []string{"a", "b", "c"}, []string{"a", "c"}
	propose := func(kind ownership.Kind, member string, isr []string, silent bool) nextStep {
		return nextStep{Act: ownership.Propose, Member: member, Kind: kind, ISR: isr, Silent: silent}
	}
	rest := nextStep{Act: ownership.Rest}

	f(ab, ab, nil, 0, of{"b": up}, rest)
	f(ab, ab, nil, 0, of{"b": silent}, propose(ownership.Shrink, "", a, true))
	f(ab, abc, []string{"c"}, 0, of{"b": silent, "c": silent}, propose(ownership.Shrink, "", a, true))
	f(a, ab, []string{"b"}, 0, of{"b": silent}, propose(ownership.Abort, "", a, false))
	f(a, a, []string{"b"}, 0, of{"b": up}, propose(ownership.Abort, "", a, false))
	f(a, ab, nil, 0, nil, nextStep{Act: ownership.CopyTo, Member: "b"})
	f(a, ab, nil, 0, of{"b": up}, nextStep{Act: ownership.JoinIt, Member: "b"})
	f(a, ab, []string{"b"}, 0, of{"b": up}, propose(ownership.Expand, "b", ab, false))
	f(a, ab, []string{"b"}, 0, of{"b": {Up: true, Known: true, Acked: 4}}, rest)
	f(a, abc, nil, 0, of{"b": down, "c": up}, nextStep{Act: ownership.JoinIt, Member: "c"})
	f(a, ab, nil, 0, of{"b": {Up: true, Blocked: true}}, rest)
	f(a, ab, nil, 0, of{"b": silent}, rest)
	f(ab, []string{"b", "a"}, nil, 0, of{"b": up}, nextStep{Act: ownership.HandOver, Member: "b"})
	f(ab, []string{"b", "c"}, nil, 0, of{"b": up, "c": down}, nextStep{Act: ownership.HandOver, Member: "b"})
	f(ab, []string{"b", "a"}, nil, 0, of{"b": {Up: true}}, rest)
	f(abc, ab, nil, 0, of{"b": up}, propose(ownership.Shrink, "", ab, false))
	f(abc, a, nil, 1, of{"b": up}, rest)
	f(ab, ac, nil, 0, of{"b": up, "c": down}, rest)
}

// A primary that rests although somebody is pending would never hand over: sealing needs an empty pending.
func TestNextEndsAJoinThatCannotEnd(t *testing.T) {
	got := ownership.Next(view{
		Config: config{Epoch: 3, Primary: "a", ISR: []string{"a", "b"}}, Want: []string{"b", "c"}, Pending: []string{"c"}, Commit: 5,
		Of: seen(map[string]ownership.Standing{"b": {Up: true, Known: true, Acked: 5}, "c": {Known: true, Acked: 5}}),
	})
	if got.Act != ownership.Propose || got.Kind != ownership.Abort || !slices.Equal(got.ISR, []string{"a", "b"}) {
		t.Errorf("%+v", got)
	}
}
