//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stead-io/stead/tests/cluster"
)

// TestReadme: the curl and stead lines of the README work as they stand, but for the ports.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	c := cluster.Start(t, cluster.Options{Members: 3, Proxies: 2, Nodes: 3, DNS: true})
	ports := strings.NewReplacer(
		"127.0.0.11:8080", c.ProxyAddrs[0], "127.0.0.12:8080", c.ProxyAddrs[1], "-p 7453", "-p "+port(c.DNSAddrs[0]),
		"127.0.0.1:7400", c.APIs[0], "127.0.0.1:7410", c.APIs[1], "127.0.0.1:7420", c.APIs[2],
		"127.0.0.1:8000", cluster.FreeAddress(t), "curl ", "curl -sS --fail ")
	environment := append(os.Environ(),
		"PATH="+filepath.Dir(cluster.Binary(t))+string(os.PathListSeparator)+os.Getenv("PATH"),
		"STEAD_CONTROL="+strings.Join(c.APIs, ","))
	ran := 0
	for _, line := range commands(string(readme)) {
		command := exec.Command("sh", "-c", ports.Replace(line))
		command.Env = environment
		output, err := command.CombinedOutput()
		t.Logf("%s\n%s", line, output)
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
		ran++
	}
	if ran < 10 {
		t.Errorf("only %d lines were found", ran)
	}
}

// commands finds the lines that a reader would type at a running cluster: those in sh blocks, and curl
// lines in running text.
func commands(readme string) []string {
	var found []string
	shell := false
	for line := range strings.Lines(readme) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "```"):
			shell = line == "```sh"
		case shell && (strings.HasPrefix(line, "curl ") || strings.HasPrefix(line, "stead ") || strings.HasPrefix(line, "dig ")):
			found = append(found, line)
		case !shell && strings.HasPrefix(line, "`curl ") && strings.HasSuffix(line, "`"):
			found = append(found, strings.Trim(line, "`"))
		}
	}
	return found
}
