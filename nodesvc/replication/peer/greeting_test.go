package peer

import (
	"bufio"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
)

func TestGreetingsThatDoNotFit(t *testing.T) {
	f := func(want string, caller api.NodeID, change func(dialled, answers *Hello, expected *api.NodeID)) {
		t.Helper()
		dialling, answering, expected := testHello("a"), testHello("b"), api.NodeID("b")
		change(&dialling, &answering, &expected)
		here, there := net.Pipe()
		outcome := make(chan error, 1)
		go func() {
			greeter := greeter{self: answering, timeout: time.Second, silence: time.Second}
			_, err := greeter.answer(there, caller, func(Hello) error { return nil })
			outcome <- err
			if err != nil {
				_ = there.Close()
			}
		}()
		_, err := greeter{self: dialling, timeout: time.Second, silence: time.Second}.call(here, expected)
		answerErr := <-outcome
		_, _ = here.Close(), there.Close()
		if want == "" {
			if err != nil || answerErr != nil {
				t.Errorf("refused: %v, %v", err, answerErr)
			}
			return
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
		if answerErr == nil {
			t.Errorf("%s: the node that was dialled takes it", want)
		}
	}
	type id = api.NodeID
	f("", "", func(_, _ *Hello, _ *id) {})
	f("", "a", func(_, _ *Hello, _ *id) {})
	f("calls itself", "c", func(_, _ *Hello, _ *id) {})
	f("cluster", "", func(d, _ *Hello, _ *id) { d.Cluster = "ffeeddccbbaa99887766554433221100" })
	f("slot_bits", "", func(d, _ *Hello, _ *id) { d.SlotBits++ })
	f("state", "", func(d, _ *Hello, _ *id) { d.State = api.StateHooks })
	f("this is node", "", func(_, a *Hello, _ *id) { a.Node = "c" })
	f("lower id dials", "", func(d, _ *Hello, _ *id) { d.Node = "x" })
	f("this node itself", "", func(d, _ *Hello, _ *id) { d.Node = "b" })
	f("is not 1 to 64", "", func(d, _ *Hello, _ *id) { d.Node = "" })
	f("EOF", "", func(d, _ *Hello, _ *id) { d.Nonce = strings.Repeat("x", ownMax) })
}

// The node that dials makes sure by itself, too.
func TestTheAnswerIsChecked(t *testing.T) {
	f := func(want string, answer frame) {
		t.Helper()
		here, there := net.Pipe()
		go func() {
			_, _ = readFrame(bufio.NewReader(there), greetingLimit)
			_, _ = there.Write(encode(answer))
			_ = there.Close()
		}()
		_, err := greeter{self: testHello("a"), timeout: time.Second}.call(here, "b")
		_ = here.Close()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	own := func(kind uint8, body string) frame { return frame{kind: kind, lane: laneOwn, body: []byte(body)} }
	f("not \"b\"", own(kindGreeting, `{"node": "c"}`))
	f("cluster", own(kindGreeting, `{"node": "b"}`))
	f("cannot read the greeting", own(kindGreeting, `{`))
	f("in place of a greeting", own(kindHeartbeat, ""))
	f(`"no\n"`, own(kindRefusal, "no\n"))
	f("not a frame", frame{kind: 1, lane: laneUrgent})
}
