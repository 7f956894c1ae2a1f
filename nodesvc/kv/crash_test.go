package kv

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/stead-io/stead/api"
)

// crashFolder is the environment variable that turns the test binary into a server on that folder.
const crashFolder = "STEAD_TEST_CRASH_FOLDER"

// serveUntilKilled prints its address and serves: it has no other end than SIGKILL, or the end of
// its input if the test is gone.
func serveUntilKilled(folder string) {
	control := newSoloControl()
	server, err := Open(testConfig(control, folder))
	if err != nil {
		fmt.Println("cannot open:", err)
		return
	}
	<-control.registered
	if err := awaitSlots(server); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(server.Addr())
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
}

// Every acknowledged write is there after kill -9 in the middle of many, start after start.
func TestAcknowledgedWritesSurviveKill(t *testing.T) {
	folder := t.TempDir()
	kept := map[string]string{}
	for round := range 3 {
		for path, value := range writeAndKill(t, folder, round) {
			kept[path] = value
		}
		server := openServer(t, folder)
		for path, value := range kept {
			if got := do(t, server, "GET", path, ""); got.status != 200 || got.body != value {
				t.Errorf("round %d: %s was acknowledged and is %d %.40q now", round, path, got.status, got.body)
			}
		}
		if err := server.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// writeAndKill writes with several writers until a number of writes was acknowledged, kills the
// server without waiting for the others, and returns what was acknowledged.
func writeAndKill(t *testing.T, folder string, round int) map[string]string {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashFolder+"="+folder)
	child.Stderr = os.Stderr
	output, errOut := child.StdoutPipe()
	input, errIn := child.StdinPipe()
	if errOut != nil || errIn != nil {
		t.Fatal(errOut, errIn)
	}
	defer input.Close()
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	address := strings.TrimSpace(line)
	if err != nil || strings.Contains(address, " ") {
		t.Fatalf("the server said %q, %v", line, err)
	}

	const writers, enough = 8, 200
	var mu sync.Mutex
	acknowledged := map[string]string{}
	var kill sync.Once
	var all sync.WaitGroup
	for writer := range writers {
		all.Go(func() {
			for i := 0; ; i++ {
				path := fmt.Sprintf("/kv/%d-%d-%d", round, writer, i)
				value := strings.Repeat(path, 1+i%50)
				if !put(address, path, value) {
					return
				}
				mu.Lock()
				acknowledged[path] = value
				count := len(acknowledged)
				mu.Unlock()
				if count >= enough {
					kill.Do(func() { _ = child.Process.Kill() })
				}
			}
		})
	}
	all.Wait()
	kill.Do(func() { _ = child.Process.Kill() })
	_ = child.Wait()
	if len(acknowledged) < enough {
		t.Fatalf("only %d writes before the end", len(acknowledged))
	}
	return acknowledged
}

func put(address, path, value string) bool {
	request, err := http.NewRequest(http.MethodPut, "http://"+address+path, strings.NewReader(value))
	if err != nil {
		return false
	}
	request.Header.Set(api.HeaderKey, "acme")
	transport := &http.Transport{DisableKeepAlives: true}
	got, err := transport.RoundTrip(request)
	if err != nil {
		return false
	}
	_ = got.Body.Close()
	return got.StatusCode == http.StatusCreated
}
