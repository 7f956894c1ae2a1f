package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/cmd/stead/dev"
)

var devSummary = dev.Summary{
	Control: []dev.Member{{ID: "c1", API: "http://127.0.0.1:1", DNS: "127.0.0.1:7", PID: 1}},
	Proxies: []dev.Proxy{
		{ID: "p1", URL: "http://127.0.0.1:2", Admin: "http://127.0.0.1:3", PID: 2},
		{ID: "p2", URL: "http://127.0.0.1:4", Admin: "http://127.0.0.1:5", PID: 3},
	},
	Nodes: []dev.Node{{ID: "n1", Address: "127.0.0.1:6", PID: 4}},
}

func TestDevAnnouncesItself(t *testing.T) {
	f := func(asJSON bool, want string) {
		t.Helper()
		var stdout strings.Builder
		command := &cobra.Command{}
		command.SetOut(&stdout)
		if err := announce(command, devSummary, asJSON, "./stead"); err != nil {
			t.Fatal(err)
		}
		if stdout.String() != want {
			t.Errorf("printed\n%swant\n%s", stdout.String(), want)
		}
	}
	f(true, `{"control":[{"id":"c1","api":"http://127.0.0.1:1","dns":"127.0.0.1:7","pid":1}],`+
		`"proxies":[{"id":"p1","url":"http://127.0.0.1:2","admin":"http://127.0.0.1:3","pid":2},`+
		`{"id":"p2","url":"http://127.0.0.1:4","admin":"http://127.0.0.1:5","pid":3}],`+
		`"nodes":[{"id":"n1","address":"127.0.0.1:6","pid":4}]}`+"\n")
	f(false, `ROLE     ID  ADDRESS             PID
control  c1  http://127.0.0.1:1  1
proxy    p1  http://127.0.0.1:2  2
proxy    p2  http://127.0.0.1:4  3
node     n1  127.0.0.1:6         4

curl -X PUT -d 'hello from p1' http://127.0.0.1:2/kv/greeting-p1
curl http://127.0.0.1:4/kv/greeting-p1
curl -X PUT -d 'hello from p2' http://127.0.0.1:4/kv/greeting-p2
curl http://127.0.0.1:2/kv/greeting-p2
dig @127.0.0.1 -p 7 proxy.stead SRV +short
export STEAD_CONTROL=127.0.0.1:1
./stead nodes
`)
	apart := devSummary
	apart.Proxies = []dev.Proxy{{URL: "http://127.0.0.11:2"}, {URL: "http://127.0.0.12:2"}}
	if got, want := digLine(apart), "dig @127.0.0.1 -p 7 proxy.stead A +short"; got != want {
		t.Errorf("printed %s, want %s", got, want)
	}
}
