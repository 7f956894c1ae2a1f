package dev

import (
	"bytes"
	"net"
	"strings"
	"testing"
)

func TestPortsAreHandedOutOnce(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	preferred := busy.Addr().(*net.TCPAddr).Port

	p := &ports{}
	seen := map[string]bool{busy.Addr().String(): true}
	for range 50 {
		address, err := p.pick(preferred)
		if err != nil {
			t.Fatal(err)
		}
		if seen[address] {
			t.Fatalf("%s was handed out twice", address)
		}
		seen[address] = true
	}
	if err := p.release(); err != nil {
		t.Fatal(err)
	}

	busy.Close()
	f := func(p *ports, wantPreferred bool) {
		t.Helper()
		address, err := p.pick(preferred)
		if err != nil || (address == busy.Addr().String()) != wantPreferred {
			t.Errorf("pick(%d) with alwaysFree=%v gave %s, %v", preferred, p.alwaysFree, address, err)
		}
		if err := p.release(); err != nil {
			t.Fatal(err)
		}
	}
	f(&ports{}, true)
	f(&ports{alwaysFree: true}, false)
}

// TestCommonPort: a port that one host lacks is no common port, and failing holds nothing open.
func TestCommonPort(t *testing.T) {
	p := &ports{alwaysFree: true}
	addresses, err := p.pickCommon([]string{"127.0.0.1", "127.0.0.1"}, portProxy)
	if err == nil || len(p.held) != 0 {
		t.Errorf("one host twice gave %v, holding %d sockets", addresses, len(p.held))
	}
	address, err := p.pickBoth(portDNS)
	if err != nil || len(p.held) != 2 {
		t.Fatalf("TCP and UDP: %s, %v, holding %d sockets", address, err, len(p.held))
	}
	if err := p.release(); err != nil {
		t.Fatal(err)
	}
	got := commonAddresses(2, p)
	if got[0] == "" {
		t.Skip("the loopback interface has no other addresses here")
	}
	first, port, _ := net.SplitHostPort(got[0])
	if first != "127.0.0.11" || got[1] != net.JoinHostPort("127.0.0.12", port) {
		t.Errorf("got %v", got)
	}
	if err := p.release(); err != nil {
		t.Fatal(err)
	}
}

func TestPlan(t *testing.T) {
	config := Config{Members: 3, Proxies: 2, Nodes: 1, State: "managed", Replicas: 2, DataDir: "/data", LogLevel: "warn"}
	reserved := &ports{alwaysFree: true}
	specs, err := plan(config, reserved)
	if err != nil {
		t.Fatal(err)
	}
	if err := reserved.release(); err != nil {
		t.Fatal(err)
	}
	var ids, members []string
	for _, s := range specs {
		ids = append(ids, s.id)
		if s.role == roleControl {
			members = append(members, s.address)
		}
	}
	if got := strings.Join(ids, " "); got != "c1 c2 c3 n1 p1 p2" {
		t.Errorf("planned %s", got)
	}
	f := func(at int, want string) {
		t.Helper()
		s := specs[at]
		want = strings.NewReplacer("ADDRESS", s.address, "ADMIN", s.admin, "DNS", s.dns, "MEMBERS", strings.Join(members, ",")).Replace(want)
		if got := strings.Join(s.args, " "); got != want {
			t.Errorf("%s runs %s\nwant    %s", s.id, got, want)
		}
	}
	f(1, "control --name c2 --listen ADDRESS --raft-listen ADMIN --dns-listen DNS --join MEMBERS --expect 3 --state managed --replicas 2 --data-dir /data/c2 --log-level warn")
	f(3, "node --id n1 --listen ADDRESS --control MEMBERS --data-dir /data/n1 --log-level warn")
	f(5, "proxy --id p2 --listen ADDRESS --admin-listen ADMIN --control MEMBERS --data-dir /data/p2 --log-level warn")
}

func TestShellLine(t *testing.T) {
	f := func(want string, words ...string) {
		t.Helper()
		if got := shellLine(words); got != want {
			t.Errorf("shellLine(%q) = %s, want %s", words, got, want)
		}
	}
	f(`/bin/stead node --listen 127.0.0.1:7500`, "/bin/stead", "node", "--listen", "127.0.0.1:7500")
	f(`stead --keys 'path:/kv/{key}'`, "stead", "--keys", "path:/kv/{key}")
	f(`'/my data/it'\''s' ''`, "/my data/it's", "")
}

func TestLines(t *testing.T) {
	f := func(want string, chunks ...string) {
		t.Helper()
		var out bytes.Buffer
		l := &lines{name: "c1", to: &printer{to: &out}}
		for _, chunk := range chunks {
			if n, err := l.Write([]byte(chunk)); n != len(chunk) || err != nil {
				t.Errorf("Write returned %d, %v", n, err)
			}
		}
		l.flush()
		if out.String() != want {
			t.Errorf("printed %q, want %q", out.String(), want)
		}
	}
	f("c1 | one\nc1 | two\n", "one\ntwo\n")
	f("c1 | one\nc1 | two\n", "o", "ne\nt", "wo")
	f("c1 | \nc1 | \n", "\n\n")
	f("")
	long := strings.Repeat("x", lineLengthMax)
	f("c1 | "+long+"\nc1 | y\n", long, "y")

	l := &lines{to: &printer{to: &bytes.Buffer{}}}
	for range 3 * lastLinesMax {
		_, _ = l.Write([]byte("line\n"))
	}
	if got := len(l.tail()); got != lastLinesMax {
		t.Errorf("remembers %d lines, want %d", got, lastLinesMax)
	}
}
