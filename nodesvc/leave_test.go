package nodesvc

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stead-io/stead/api"
)

func TestLeaveOfAWaitNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := newFakeControl(testView(t, 7, 5, "n0"))
		node := openNode(t, testConfig(control))
		time.Sleep(time.Second)
		inside, release := make(chan struct{}), make(chan struct{})
		served := make(chan int)
		go func() {
			got := ask(t.Context(), node.Guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				close(inside)
				<-release
			})), "Stead-Key: acme")
			served <- got.Code
		}()
		<-inside
		closed := make(chan error)
		go func() { closed <- node.Close(t.Context()) }()
		time.Sleep(time.Second)
		if got := serving(t, node); got != "draining" || control.count("leaving") != 0 {
			t.Errorf("while a request is inside: %s, %s", got, control.history())
		}
		close(release)
		if status, err := <-served, <-closed; status != 200 || err != nil {
			t.Errorf("the request inside got %d, close %v", status, err)
		}
		if got := control.history(); got != "register beat leaving" {
			t.Error(got)
		}
		if beats := control.beaten(); beats[len(beats)-1].Session != "s1" {
			t.Errorf("left in session %q", beats[len(beats)-1].Session)
		}
	})
}

func TestLeaveOfAResetNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := newFakeControl(testView(t, 7, 5, "n0"))
		config := testConfig(control)
		config.OnDown = api.OnDownReset
		node := openNode(t, config)
		time.Sleep(time.Second)
		control.script(func() {
			control.onDrain = func() error {
				time.AfterFunc(3*time.Second, func() { control.publish(testView(t, 8, 6, "n1")) })
				return nil
			}
		})
		closed := make(chan error)
		go func() { closed <- node.Close(t.Context()) }()
		time.Sleep(2 * time.Second)
		if got := serving(t, node); got != "served" {
			t.Errorf("while it drains: %s", got)
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if got := control.history(); got != "register beat drain beat remove" {
			t.Error(got)
		}
	})
}

// TestLeaveInMaintenance: the absence is announced, so the slots are not handed back.
func TestLeaveInMaintenance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := newFakeControl(testView(t, 7, 5, "n0"))
		config := testConfig(control)
		config.OnDown = api.OnDownReset
		node := openNode(t, config)
		time.Sleep(time.Second)
		until := time.Now().Add(time.Minute)
		control.script(func() { control.maintenance = &until })
		closeNode(t, node)
		if got := control.history(); got != "register beat leaving" {
			t.Error(got)
		}
	})
}

// Whatever the control plane does, a node stops within its time and says what it can.
func TestLeaveIsBounded(t *testing.T) {
	run := func(name string, onDown api.OnDown, script func(*fakeControl), within time.Duration, want string) {
		synctest.Test(t, func(t *testing.T) {
			control := newFakeControl(testView(t, 7, 5, "n0"))
			config := testConfig(control)
			config.OnDown = onDown
			node := openNode(t, config)
			time.Sleep(time.Second + api.NodeBeatInterval/2)
			control.script(func() { script(control) })
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			began := time.Now()
			if err := node.Close(ctx); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if took := time.Since(began); took > within {
				t.Errorf("%s: took %v", name, took)
			}
			if got := control.history(); got != want {
				t.Errorf("%s: %s", name, got)
			}
		})
	}
	away := func(f *fakeControl) {
		f.onBeat = func(api.Beat) error { return errAway }
		f.onDrain = func() error { return errAway }
	}
	run("wait, control plane away", api.OnDownWait, away, time.Second, "register beat leaving")
	run("reset, control plane away", api.OnDownReset, away, time.Second, "register beat drain leaving")
	last := func(f *fakeControl) {
		f.onDrain = func() error { return api.NewProblem(api.CodeLastNode, "") }
	}
	run("the last node", api.OnDownReset, last, time.Second, "register beat drain leaving")
	run("slots stay", api.OnDownReset, func(*fakeControl) {}, 6*time.Second, "register beat drain beat leaving")
}

func TestCloseBeforeRegistered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := newFakeControl(nil)
		node := openNode(t, testConfig(control))
		closeNode(t, node)
		if got := control.history(); got != "" {
			t.Error(got)
		}
	})
}

func TestCloseDoesNotWaitForAStuckRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := openNode(t, testConfig(newFakeControl(testView(t, 7, 5, "n0"))))
		synctest.Wait()
		stuck := make(chan struct{})
		go ask(t.Context(), node.Guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stuck })), "Stead-Key: acme")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		err := node.Close(ctx)
		if took := time.Since(began); err == nil || took > 5*time.Second {
			t.Errorf("%v after %v", err, took)
		}
		close(stuck)
	})
}
