package nodesvc

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stead-io/stead/api"
)

func TestNodeRegistersAndBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := newFakeControl(testView(t, 7, 5, "n0"))
		config := testConfig(control)
		config.DataDir = t.TempDir()
		node := openNode(t, config)
		defer closeNode(t, node)
		time.Sleep(time.Second + time.Millisecond)
		got := control.registered()[0]
		if got.ID != "n0" || got.Boot != 1 || got.StoreID.Validate() != nil || got.Nonce == "" || got.Volatile ||
			got.SlotBits != api.SlotBitsMin || got.Validate() != nil {
			t.Errorf("registered %+v", got)
		}
		if beats := control.count("beat"); beats != 5 {
			t.Errorf("%d beats in a second of one each 250 ms", beats)
		}
		if session := control.beaten()[0].Session; session != "s1" {
			t.Errorf("beats in session %q", session)
		}
		raw, err := os.ReadFile(filepath.Join(config.DataDir, identityName))
		if err != nil || !strings.Contains(string(raw), string(testCluster)) {
			t.Errorf("identity on disk: %s, %v", raw, err)
		}
		if node.Ready() != nil || len(node.Slots()) != 256 || !node.Owns(255) || node.Owns(256) {
			t.Errorf("ready %v, %d slots", node.Ready(), len(node.Slots()))
		}
	})
}

func TestNodeRegistersAgain(t *testing.T) {
	for _, code := range []api.Code{api.CodeNodeUnknown, api.CodeUnknownSession} {
		synctest.Test(t, func(t *testing.T) {
			control := newFakeControl(testView(t, 7, 5, "n0"))
			control.onBeat = func(beat api.Beat) error {
				if beat.Session == "s1" {
					return api.NewProblem(code, "")
				}
				return nil
			}
			node := openNode(t, testConfig(control))
			defer closeNode(t, node)
			time.Sleep(time.Second)
			if got := control.history(); got != "register beat register beat" {
				t.Errorf("%s: %s", code, got)
			}
			if node.registered.Load().Session != "s2" {
				t.Errorf("%s: session %q", code, node.registered.Load().Session)
			}
		})
	}
}

func TestNodeKeepsTryingToRegister(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := newFakeControl(testView(t, 7, 5, "n0"))
		refusals := []error{errAway, api.NewProblem(api.CodeNoLeader, ""), api.NewProblem(api.CodeNodeAlive, ""), errAway}
		control.onRegister = func(api.Registration) error {
			if len(refusals) == 0 {
				return nil
			}
			err := refusals[0]
			refusals = refusals[1:]
			return err
		}
		node := openNode(t, testConfig(control))
		defer closeNode(t, node)
		time.Sleep(10 * time.Second)
		if node.Err() != nil || node.registered.Load() == nil {
			t.Errorf("not registered: %v", node.Err())
		}
		for _, registration := range control.registrations[1:] {
			if registration.Nonce != control.registered()[0].Nonce {
				t.Error("tries of one process carry different nonces")
			}
		}
	})
}

func TestNodeTakesNoForAnAnswer(t *testing.T) {
	// refused opens a node whose registrations get one answer, and returns when it gave up.
	refused := func(code api.Code, change func(*Config)) (gaveUp time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			control := newFakeControl(testView(t, 7, 5, "n0"))
			control.onRegister = func(api.Registration) error { return api.NewProblem(code, "no") }
			config := testConfig(control)
			change(&config)
			node := openNode(t, config)
			defer closeNode(t, node)
			began := time.Now()
			<-node.Done()
			gaveUp = time.Since(began)
			if api.CodeOf(node.Err()) != code || !strings.Contains(node.Err().Error(), "cannot join as node n0") {
				t.Errorf("%s: %v", code, node.Err())
			}
			if got := ask(t.Context(), node.Guard(http.HandlerFunc(echoRoute)), "Stead-Key: acme"); got.Code != 503 {
				t.Errorf("%s: a refused node answers %d", code, got.Code)
			}
		})
		return gaveUp
	}
	same := func(*Config) {}
	for _, code := range refusals {
		if after := refused(code, same); after != 0 {
			t.Errorf("%s: gave up after %v", code, after)
		}
	}
	// A predecessor that died looks alive for a while; one that lives does so for longer.
	patience := 2*api.TTLDefault + takeoverGrace
	for _, code := range takeovers {
		if after := refused(code, same); after < patience || after > patience+2*registerPauseMax {
			t.Errorf("%s: gave up after %v, patience is %v", code, after, patience)
		}
	}
	if after := refused(api.CodeNodeIDInUse, func(c *Config) { c.Replace = true }); after < patience {
		t.Errorf("replacing: gave up after %v", after)
	}
}

func TestNodeOfAnotherClusterNeverRegisters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := testConfig(newFakeControl(testView(t, 1, 1, "n0")))
		config.DataDir = t.TempDir()
		closeNode(t, openNode(t, config))

		settled := openNode(t, config)
		synctest.Wait()
		closeNode(t, settled)

		foreign := newFakeControl(testViewOf(t, testSettings(), otherCluster, 1, 1, "n0"))
		config.ControlPlane = foreign
		node := openNode(t, config)
		defer closeNode(t, node)
		<-node.Done()
		if !errors.Is(node.Err(), ErrForeignFolder) || foreign.history() != "" {
			t.Errorf("%v after %q", node.Err(), foreign.history())
		}
	})
}

func TestNodeBeatsOnlyWhileHealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := newFakeControl(testView(t, 7, 5, "n0"))
		var state atomic.Value
		state.Store("disk is slow to start")
		hang := make(chan struct{})
		config := testConfig(control)
		config.Healthy = func(context.Context) error {
			switch now := state.Load().(string); now {
			case "":
				return nil
			case "hang":
				<-hang
				return nil
			default:
				return errors.New(now)
			}
		}
		node := openNode(t, config)
		defer closeNode(t, node)

		time.Sleep(5 * time.Second)
		if got := control.history(); got != "" || node.Ready() == nil {
			t.Errorf("before it was well: %s, ready: %v", got, node.Ready())
		}
		state.Store("")
		time.Sleep(time.Second)
		if got := control.history(); got != "register beat" || node.Ready() != nil {
			t.Errorf("when it got well: %s, ready: %v", got, node.Ready())
		}
		state.Store("disk is gone")
		time.Sleep(time.Second)
		if got := control.history(); got != "register beat unhealthy" || node.Ready() == nil {
			t.Errorf("when it failed: %s, ready: %v", got, node.Ready())
		}
		if beats := control.beaten(); beats[len(beats)-1].Unhealthy != "disk is gone" {
			t.Errorf("it complains of %q", beats[len(beats)-1].Unhealthy)
		}
		state.Store("")
		time.Sleep(time.Second)
		state.Store("hang")
		time.Sleep(api.TTLDefault + 2*api.NodeBeatInterval)
		healthy := control.count("beat")
		time.Sleep(5 * time.Second)
		if got := control.count("beat"); got != healthy {
			t.Errorf("%d beats while the disk hung", got-healthy)
		}
		close(hang)
		state.Store("")
		time.Sleep(time.Second)
		if got := control.history(); got != "register beat unhealthy beat unhealthy beat" {
			t.Errorf("in the end: %s", got)
		}
	})
}
