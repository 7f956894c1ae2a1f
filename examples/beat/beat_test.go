// Package beat tests the register-and-beat loops that docs/register-and-beat.md shows, in the
// languages they are written in.
package beat

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stead-io/stead/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The document shows the files, to the letter.
func TestDocumentShowsTheFiles(t *testing.T) {
	document, err := os.ReadFile("../../docs/register-and-beat.md")
	if err != nil {
		t.Fatal(err)
	}
	run := func(language, file string) {
		t.Helper()
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(document), "```"+language+"\n")
		shown, _, found := strings.Cut(rest, "```\n")
		if !found || shown != string(code) {
			t.Errorf("docs/register-and-beat.md shows other code than examples/beat/%s", file)
		}
	}
	run("python", "beat.py")
	run("js", "beat.mjs")
}

// control is a control plane that follows a script: after every third beat it loses the node in
// another way.
type control struct {
	events chan string

	mu      sync.Mutex
	losses  []api.Code
	session int
	beats   int
}

func (c *control) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w.Header().Set("Content-Type", api.TypeJSON)
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	switch r.Method + " " + r.URL.Path {
	case "POST /v1/nodes":
		var asked api.Registration
		if err := decoder.Decode(&asked); err != nil || asked.WithDefaults().Validate() != nil {
			c.event("registration %+v, %v", asked, err)
		}
		c.session, c.beats = c.session+1, 0
		c.event("register %s at %s", asked.ID, asked.Address)
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(api.Registered{Session: c.name(), BeatEvery: api.Duration(api.NodeBeatInterval)})
	case "POST /v1/nodes/n1/beat":
		var beat api.Beat
		if err := decoder.Decode(&beat); err != nil || beat.Session != c.name() {
			c.event("beat %+v, %v", beat, err)
		}
		c.beats++
		if c.beats == 3 && len(c.losses) > 0 {
			code := c.losses[0]
			c.losses = c.losses[1:]
			c.event("lose it: %s", code)
			api.NewProblem(code, "as the script has it").WriteTo(w)
			return
		}
		c.event("beat")
		_ = json.NewEncoder(w).Encode(api.Beaten{Status: api.NodeUp})
	default:
		c.event("%s %s", r.Method, r.URL.Path)
		api.NewProblem(api.CodeNotFound, "not in the script").WriteTo(w)
	}
}

func (c *control) name() api.SessionID { return api.SessionID(fmt.Sprintf("s%d", c.session)) }

func (c *control) event(format string, args ...any) {
	select {
	case c.events <- fmt.Sprintf(format, args...):
	default: // the test has read what it wanted
	}
}

// TestLoops runs each loop against a member that is away and one that follows the script.
func TestLoops(t *testing.T) {
	if testing.Short() {
		t.Skip("runs Python and Node.js")
	}
	const registered = "register n1 at 127.0.0.1:8000"
	script := []string{
		registered, "beat", "beat", "lose it: unknown_session",
		registered, "beat", "beat", "lose it: node_unknown",
		registered, "beat", "beat", "lose it: no_leader",
		"beat", "beat", "beat",
	}
	run := func(interpreter, file string) {
		t.Run(file, func(t *testing.T) {
			if _, err := exec.LookPath(interpreter); err != nil {
				t.Fatalf("%s is needed to test examples/beat/%s: %v", interpreter, file, err)
			}
			scripted := &control{
				events: make(chan string, 100),
				losses: []api.Code{api.CodeUnknownSession, api.CodeNodeUnknown, api.CodeNoLeader},
			}
			server := httptest.NewServer(scripted)
			defer server.Close()
			gone := httptest.NewServer(scripted)
			gone.Close()

			loop := exec.Command(interpreter, file, gone.URL+","+server.URL, "n1", "127.0.0.1:8000")
			loop.Env = append(os.Environ(), "NO_PROXY=*", "no_proxy=*")
			messages := &strings.Builder{}
			loop.Stderr = messages
			if err := loop.Start(); err != nil {
				t.Fatal(err)
			}
			follow(t, scripted.events, script)
			_ = loop.Process.Kill()
			_ = loop.Wait()
			if !strings.Contains(messages.String(), "as the script has it") {
				t.Errorf("the loop does not say what it was refused: %s", messages)
			}
		})
	}
	run("python3", "beat.py")
	run("node", "beat.mjs")
}

func follow(t *testing.T, events <-chan string, script []string) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for i, want := range script {
		select {
		case got := <-events:
			if got != want {
				t.Errorf("step %d: %s, want %s", i, got, want)
			}
		case <-deadline:
			t.Errorf("step %d: no %s within 30 s", i, want)
			return
		}
	}
}
