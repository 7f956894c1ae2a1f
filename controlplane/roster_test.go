package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
)

// beatProxies beats for proxies 1 to count, every ProxyBeatInterval until stop, through whichever
// member leads.
func (c *cluster) beatProxies(count int) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if leader := c.leader(); leader != nil {
				for i := range count {
					_ = leader.ProxyBeat(api.ProxyID(fmt.Sprintf("p%d", i+1)), proxyBeat(i, false), time.Now())
				}
			}
			select {
			case <-done:
				return
			case <-time.After(api.ProxyBeatInterval):
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

func proxyBeat(i int, leaving bool) api.ProxyBeat {
	return api.ProxyBeat{Address: fmt.Sprintf("127.0.0.%d:80", 11+i), Leaving: leaving}
}

// statuses writes a member's roster down.
func statuses(member *Member) string {
	text := ""
	if roster := member.Roster(); roster != nil {
		for _, item := range roster.Proxies {
			text += string(item.ID) + "=" + item.Status + " "
		}
	}
	return text
}

// awaitRoster waits until every member that runs knows the same roster.
func (c *cluster) awaitRoster(want string) {
	c.t.Helper()
	c.await("the roster "+want, func() bool {
		for _, member := range c.members {
			if member != nil && statuses(member) != want {
				return false
			}
		}
		return true
	})
}

// TestRosterOnEveryMember: followers learn of every change, without a leader they keep the last roster,
// and a new leader forgets nobody who lives.
func TestRosterOnEveryMember(t *testing.T) {
	c := newCluster(t)
	index := c.leading().State().Index
	stop := c.beatProxies(2)
	c.awaitRoster("p1=up p2=up ")
	if problem := c.leading().ProxyBeat("p3", proxyBeat(2, false), time.Now()); problem != nil {
		t.Fatal(problem)
	}
	c.awaitRoster("p1=up p2=up p3=up ")
	c.awaitRoster("p1=up p2=up p3=down ")
	if now := c.leading().State().Index; now != index {
		t.Errorf("the log grew from %d to %d: beats and rosters must cost no writes", index, now)
	}

	follower := c.follower()
	before := follower.Roster().Mark
	if err := c.leading().Transfer(string(follower.ID())); err != nil {
		t.Fatal(err)
	}
	c.await("the new leader's roster", func() bool { return follower.Roster().Mark.Term > before.Term })
	for deadline := time.Now().Add(2 * api.ProxyDownAfter); time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
		for _, member := range c.members {
			if got := statuses(member); got != "p1=up p2=up p3=down " {
				t.Fatalf("after a change of leaders %s tells %q", member.ID(), got)
			}
		}
	}
	stop()

	for i, member := range c.members {
		if member == follower {
			continue
		}
		c.stop(i)
	}
	c.await("no leader", func() bool { return c.leader() == nil })
	frozen := statuses(follower)
	<-time.After(2 * api.ProxyDownAfter)
	if got := statuses(follower); got != frozen {
		t.Errorf("without a leader the roster went from %q to %q", frozen, got)
	}
}

func (c *cluster) follower() *Member {
	for _, member := range c.members {
		if member != nil && !member.IsLeader() {
			return member
		}
	}
	c.t.Fatal("no member follows")
	return nil
}

// TestNameservers: every member's DNS names them all, and answers for the proxies.
func TestNameservers(t *testing.T) {
	c := newCluster(t)
	stop := c.beatProxies(2)
	defer stop()
	for _, member := range c.members {
		asked := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, member.DNSAddr())
		}}
		c.await("three name servers", func() bool {
			servers, err := asked.LookupNS(t.Context(), "proxy.stead.")
			return err == nil && len(servers) == 3
		})
		c.await("the name server's address and the proxies'", func() bool {
			host, err := asked.LookupHost(t.Context(), "c2.ns.proxy.stead.")
			proxies, err2 := asked.LookupHost(t.Context(), "proxy.stead.")
			return errors.Join(err, err2) == nil && len(host) == 1 && len(proxies) == 2
		})
	}
}

// TestRosterEndpoint: what a member asks its leader, and what is refused.
func TestRosterEndpoint(t *testing.T) {
	l := newLone(t, nil)
	if problem := l.ProxyBeat("p1", proxyBeat(0, false), time.Now()); problem != nil {
		t.Fatal(problem)
	}
	var roster api.Roster
	if status := call(t, l.Member, "GET", "/v1/roster", nil, &roster); status != http.StatusOK || roster.Mark.Number == 0 {
		t.Fatalf("got %d %+v", status, roster)
	}
	f := func(query string, want int) {
		t.Helper()
		if status := call(t, l.Member, "GET", "/v1/roster?after="+query, nil, nil); status != want {
			t.Errorf("?after=%s answers %d, want %d", query, status, want)
		}
	}
	f("1", http.StatusBadRequest)
	f("x-1", http.StatusBadRequest)
	f("1-1-1", http.StatusBadRequest)
	f("0-9", http.StatusOK)
}

func TestRosterMarks(t *testing.T) {
	board := newRosterBoard()
	f := func(term, number uint64, want string) {
		t.Helper()
		board.put(api.Roster{Mark: api.RosterMark{Term: term, Number: number}})
		if got := board.current.Load().Mark.String(); got != want {
			t.Errorf("after %d-%d the newest is %s, want %s", term, number, got, want)
		}
	}
	f(2, 5, "2-5")
	f(2, 4, "2-5")
	f(1, 9, "2-5")
	f(2, 6, "2-6")
	f(3, 1, "3-1")
}
