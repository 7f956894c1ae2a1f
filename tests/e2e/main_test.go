//go:build e2e

// Package e2e runs the stead binary as its users do: real processes, sockets and disks. `make e2e`.
package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"github.com/stead-io/stead/cmd/stead/slack"
	"github.com/stead-io/stead/tests/cluster"
)

// longRun: STEAD_E2E_LONG is set.
var longRun = os.Getenv("STEAD_E2E_LONG") != ""

// collectAt is how much garbage this program lets gather, in percent of its few megabytes: with Go's 100 it stops to
// collect five times a second under load, and what it measures of a cluster would have its own pauses in it.
const collectAt = 2000

func TestMain(m *testing.M) {
	slack.Relax()
	debug.SetGCPercent(collectAt)
	code := m.Run()
	cluster.RemoveBinary()
	os.Exit(code)
}

var http1 = &http.Client{
	Timeout:   30 * time.Second,
	Transport: &http.Transport{MaxIdleConnsPerHost: 256},
}

// answer is what a request came back with.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// try sends a request; the error is one of the connection.
func try(ctx context.Context, method, target string, body []byte, headers ...string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http1.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, content}, err
}

func must(t *testing.T, method, target string, body []byte, headers ...string) answer {
	t.Helper()
	got, err := try(t.Context(), method, target, body, headers...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	return got
}

// kvURL is where a key lives behind a proxy, the key being one path segment of any octets.
func kvURL(proxy string, key []byte) string {
	return "http://" + proxy + "/kv/" + url.PathEscape(string(key))
}

// stead runs a command of the binary against a cluster and returns what it printed.
func stead(t *testing.T, c *cluster.Cluster, args ...string) string {
	t.Helper()
	output, err := steadTry(t, c, args...)
	if err != nil {
		t.Fatalf("stead %v: %v\n%s", args, err, output)
	}
	return output
}

func steadTry(t *testing.T, c *cluster.Cluster, args ...string) (string, error) {
	t.Helper()
	command := exec.Command(cluster.Binary(t), args...)
	command.Env = append(os.Environ(), c.Environment()...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	if err != nil {
		return stdout.String() + stderr.String(), err
	}
	return stdout.String(), nil
}

func median(durations []time.Duration) time.Duration {
	sorted := slices.Clone(durations)
	slices.Sort(sorted)
	return sorted[len(sorted)/2]
}

func randomKey(t *testing.T, length int) []byte {
	t.Helper()
	key := make([]byte, length)
	if _, err := rand.Read(key); err != nil {
		t.Fatal(err)
	}
	return key
}

func within(t *testing.T, what string, got, limit time.Duration) {
	t.Helper()
	t.Logf("%s: %v (limit %v)", what, got.Round(time.Millisecond), limit)
	if got > limit {
		t.Errorf("%s took %v, limit %v", what, got, limit)
	}
}

func keyNumber(i int) []byte { return fmt.Appendf(nil, "key-%d", i) }
