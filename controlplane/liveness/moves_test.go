package liveness

import (
	"testing"
	"time"

	"github.com/stead-io/stead/api"
)

func TestPace(t *testing.T) {
	tracker := NewTracker(start)
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	f := func(since, now float64, want Pace) {
		t.Helper()
		got := tracker.Pace(at(since), at(now))
		if len(got.Blocked) != len(want.Blocked) {
			t.Errorf("at %v: blocked %v", now, got.Blocked)
		}
		got.Blocked, want.Blocked = nil, nil
		if got.Bytes != want.Bytes || got.BytesLeft != want.BytesLeft || got.Rate != want.Rate {
			t.Errorf("at %v since %v: got %+v, want %+v", now, since, got, want)
		}
	}
	f(0, 5, Pace{})
	tracker.Moving("n1", at(0), api.Moves{BytesDone: 1000, BytesLeft: 900}) // copied for an earlier leader
	f(0, 0, Pace{BytesLeft: 900})
	for second := 1.0; second <= 20; second++ {
		tracker.Moving("n1", at(second), api.Moves{BytesDone: 1000 + uint64(second)*100, BytesLeft: 500})
	}
	f(0, 20, Pace{Bytes: 2000, BytesLeft: 500, Rate: 110}) // the point at 10 s was made before the beat of 10 s
	tracker.Moving("n2", at(20), api.Moves{BytesDone: 7, BytesLeft: 50, Blocked: make([]api.MoveBlocked, 2)})
	f(0, 20, Pace{Bytes: 2000, BytesLeft: 550, Rate: 110, Blocked: make([]api.MoveBlocked, 2)})
	tracker.Moving("n2", at(21), api.Moves{BytesDone: 3}) // started anew
	f(0, 21, Pace{Bytes: 2003, BytesLeft: 500, Rate: 100})
	f(21, 21, Pace{Bytes: 3, BytesLeft: 500, Rate: 100})
	f(0, 40, Pace{Bytes: 2003, BytesLeft: 0, Rate: 0})
	if tracker.MovesOf("n2", at(22)) == nil || tracker.MovesOf("n2", at(26)) != nil || tracker.MovesOf("n3", at(22)) != nil {
		t.Error("moves count for as long as they are fresh")
	}
	tracker.Forget(func(id api.NodeID) bool { return id != "n2" })
	if tracker.MovesOf("n2", at(22)) != nil {
		t.Error("moves of a node that is gone are kept")
	}
}

// TestPaceForgetsDetailNotTime: a move of days keeps few points, the earliest among them.
func TestPaceForgetsDetailNotTime(t *testing.T) {
	tracker := NewTracker(start)
	const seconds = 100_000
	for second := range seconds {
		tracker.Moving("n1", start.Add(time.Duration(second)*time.Second), api.Moves{BytesDone: uint64(second) * 10})
	}
	if count := len(tracker.moves.points); count > pacePoints {
		t.Errorf("%d points are kept", count)
	}
	pace := tracker.Pace(start, start.Add(seconds*time.Second))
	if pace.Bytes != (seconds-1)*10 || pace.Rate < 9 || pace.Rate > 12 {
		t.Errorf("got %+v", pace)
	}
}
