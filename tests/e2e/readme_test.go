//go:build e2e

package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/tests/cluster"
)

// notRun lists the sh blocks of the documentation that are not run, in order, by page: each stands behind
// a line <!-- not run: REASON -->. A new one belongs here, so that nobody marks one in passing.
var notRun = map[string][]string{
	"README.md":          {"it is how this is run"},
	"docs/api/events.md": {"does not end", "needs a webhook"},
	"docs/operating.md": {"needs three machines", "needs another machine", "needs tokens", "exit codes of its own",
		"undoes what is shown elsewhere", "needs a majority that is lost", "needs a webhook", "needs root"},
	"docs/services.md": {"starts a cluster of another kind; TestHooksMove runs one"},
}

// TestReadme: the shell blocks of README and docs work as they stand, but for the ports.
func TestReadme(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Members: 3, Proxies: 2, Nodes: 3, DNS: true})
	ports := strings.NewReplacer(
		"127.0.0.11:8080", c.ProxyAddrs[0], "127.0.0.12:8080", c.ProxyAddrs[1], "-p 7453", "-p "+port(c.DNSAddrs[0]),
		"127.0.0.1:8081", c.AdminAddrs[0],
		"127.0.0.1:7400", c.APIs[0], "127.0.0.1:7410", c.APIs[1], "127.0.0.1:7420", c.APIs[2],
		"127.0.0.1:7500", c.NodeAddrs[0], "127.0.0.1:8000", cluster.FreeAddress(t), "curl ", "curl -sS --fail ")
	environment := append(os.Environ(),
		"PATH="+filepath.Dir(cluster.Binary(t))+string(os.PathListSeparator)+os.Getenv("PATH"),
		"STEAD_CONTROL="+strings.Join(c.APIs, ","))
	folder := t.TempDir() // for what they write
	ran, marked := 0, map[string][]string{}
	for _, page := range pages(t) {
		for _, block := range blocks(t, page) {
			if block.reason != "" {
				marked[page] = append(marked[page], block.reason)
				continue
			}
			command := exec.Command("sh", "-ec", ports.Replace(block.script))
			command.Env, command.Dir = environment, folder
			begun := time.Now()
			output, err := command.CombinedOutput()
			took := time.Since(begun).Round(time.Millisecond)
			if err != nil {
				t.Errorf("%s:%d: %v after %v; if it cannot run here, put <!-- not run: REASON --> before it and into notRun\n%s\n%s",
					page, block.line, err, took, block.script, output)
			} else {
				t.Logf("%s:%d: ok %v", page, block.line, took)
			}
			ran++
		}
	}
	if fmt.Sprint(marked) != fmt.Sprint(notRun) {
		t.Errorf("marked as not run are %v, expected %v", marked, notRun)
	}
	if ran < 6 {
		t.Errorf("only %d blocks were found", ran)
	}
}

// pages are README and all below docs, README first: it makes what the others look at.
func pages(t *testing.T) []string {
	t.Helper()
	found := []string{"README.md"}
	err := fs.WalkDir(os.DirFS("../.."), "docs", func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".md") {
			found = append(found, path)
		}
		return err
	})
	if err != nil || len(found) < 10 {
		t.Fatalf("found %v, %v", found, err)
	}
	return found
}

// block is what a reader would type at a running cluster.
type block struct {
	line   int
	script string
	reason string // why it is not run
}

// blocks finds the sh blocks of a page, and curl lines in running text. Lines with a <placeholder> are
// left out. A block in no language that begins with a command is a mistake.
func blocks(t *testing.T, page string) (found []block) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("../..", page))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(raw), "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		if strings.HasPrefix(line, "`curl ") && strings.HasSuffix(line, "`") {
			found = append(found, block{line: i + 1, script: strings.Trim(line, "`")})
		}
		language, opens := strings.CutPrefix(line, "```")
		if !opens {
			continue
		}
		end := i + 1 + slices.IndexFunc(lines[i+1:], func(line string) bool { return strings.HasPrefix(strings.TrimSpace(line), "```") })
		if end <= i {
			t.Fatalf("%s:%d: the block does not end", page, i+1)
		}
		content := slices.DeleteFunc(slices.Clone(lines[i+1:end]), func(line string) bool { return strings.Contains(line, "<") && strings.Contains(line, ">") })
		script := strings.Join(content, "\n")
		switch {
		case language == "sh":
			found = append(found, block{line: i + 1, script: script, reason: reasonIn(lines[max(0, i-1)])})
		case language == "" && (strings.HasPrefix(script, "stead ") || strings.HasPrefix(script, "curl ")):
			t.Errorf("%s:%d: a block of commands is to begin with ```sh", page, i+1)
		}
		i = end
	}
	return found
}

func reasonIn(line string) string {
	reason, marked := strings.CutPrefix(strings.TrimSpace(line), "<!-- not run: ")
	if !marked {
		return ""
	}
	return strings.TrimSuffix(reason, " -->")
}
