//go:build e2e

package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/tests/cluster"
)

// TestProxiesAgree: two proxies route 10,000 keys alike, binary and non-ASCII ones among them, and as
// the control plane says.
func TestProxiesAgree(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Members: 1, Proxies: 2, Nodes: 3})
	route := func(admin string, key []byte) (found api.Location) {
		got := must(t, "GET", "http://"+admin+"/v1/route?key_hex="+hex.EncodeToString(key), nil)
		if err := json.Unmarshal(got.body, &found); err != nil || got.status != http.StatusOK {
			t.Fatalf("%x: %d %s", key, got.status, got.body)
		}
		return found
	}
	taken := map[string]bool{}
	for i := range 10_000 {
		key := keyNumber(i)
		switch i % 3 {
		case 1:
			key = fmt.Appendf(nil, "schlüssel-%d-鍵-🔑", i)
		case 2:
			for key = randomKey(t, 1+i%64); taken[string(key)]; { // as a short one is now and then
				key = randomKey(t, 1+i%64)
			}
		}
		taken[string(key)] = true
		first, second := route(c.AdminAddrs[0], key), route(c.AdminAddrs[1], key)
		if first.Slot != second.Slot || len(first.Replicas) != 1 || len(second.Replicas) != 1 || first.Replicas[0] != second.Replicas[0] {
			t.Fatalf("%x: %+v and %+v", key, first, second)
		}
		if i%100 != 0 {
			continue
		}
		located, err := c.Client.Locate(t.Context(), key)
		if err != nil || located.Slot != first.Slot || located.Replicas[0].ID != first.Replicas[0].ID {
			t.Fatalf("%x: the control plane says %+v, %v; the proxies %+v", key, located, err, first)
		}
		value := []byte(hex.EncodeToString(key))
		if got := must(t, "PUT", kvURL(c.ProxyAddrs[0], key), value, "Stead-Show", "node"); got.status != http.StatusCreated || got.header.Get("Stead-Node") != string(first.Replicas[0].ID) {
			t.Fatalf("%x: PUT %d at %q %s", key, got.status, got.header.Get("Stead-Node"), got.body)
		}
		if got := must(t, "GET", kvURL(c.ProxyAddrs[1], key), nil); string(got.body) != string(value) {
			t.Fatalf("%x: GET %d %s", key, got.status, got.body)
		}
	}
}

// TestOtherKeyRulesRefuseToStart: a proxy told other rules than the cluster's stops.
func TestOtherKeyRulesRefuseToStart(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Members: 1, Proxies: 1})
	args := append(c.ProxyArgs(0), "--key", "query:tenant", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir", t.TempDir())
	proxy := cluster.Run(t, "stranger", cluster.Binary(t), args...)
	if code := proxy.Ended(); code != 1 {
		t.Fatalf("it ended with %d: %s", code, proxy.Output())
	}
	if !strings.Contains(proxy.Output(), "query:tenant") || !strings.Contains(proxy.Output(), "header:X-Shard-Key") {
		t.Errorf("it does not name both rules: %s", proxy.Output())
	}
}

// TestGoSources: every file under GOROOT/src goes up through two proxies with its path as the key, and
// comes back through the other one with the same checksum, while the Raft leader is killed and
// restarted.
func TestGoSources(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Members: 3, Proxies: 2, Nodes: 3})
	output, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(strings.TrimSpace(string(output)), "src")
	var files []string
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) < 5000 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	killing, stopKilling := context.WithCancel(t.Context())
	var killer sync.WaitGroup
	kills := 0
	killer.Go(func() {
		for killing.Err() == nil {
			leader := c.Leader()
			c.Members[leader].Kill()
			kills++
			select {
			case <-killing.Done():
			case <-time.After(time.Second):
			}
			c.Members[leader].Start()
			select {
			case <-killing.Done():
			case <-time.After(3 * time.Second):
			}
		}
	})
	start := time.Now()
	octets := eachFile(t, root, files, func(i int, key string, content []byte) error {
		got, err := try(t.Context(), "PUT", kvURL(c.ProxyAddrs[i%2], []byte(key)), content)
		if err == nil && got.status != http.StatusCreated {
			err = fmt.Errorf("%d %s", got.status, got.body)
		}
		return err
	})
	t.Logf("%d files, %d MB up in %v", len(files), octets>>20, time.Since(start).Round(time.Millisecond))
	start = time.Now()
	eachFile(t, root, files, func(i int, key string, content []byte) error {
		got, err := try(t.Context(), "GET", kvURL(c.ProxyAddrs[(i+1)%2], []byte(key)), nil)
		if err == nil && (got.status != http.StatusOK || sha256.Sum256(got.body) != sha256.Sum256(content)) {
			err = fmt.Errorf("%d with %d bytes, not %d", got.status, len(got.body), len(content))
		}
		return err
	})
	t.Logf("read back in %v", time.Since(start).Round(time.Millisecond))
	stopKilling()
	killer.Wait()
	t.Logf("the leader was killed %d times", kills)
	if kills == 0 {
		t.Error("the leader was never killed")
	}
}

// eachFile runs f for every file, sixteen at a time, and reports failures by file.
func eachFile(t *testing.T, root string, files []string, f func(i int, key string, content []byte) error) (octets int64) {
	t.Helper()
	var next, sum atomic.Int64
	var workers sync.WaitGroup
	for range 16 {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(files) && !t.Failed(); i = int(next.Add(1)) - 1 {
				content, err := os.ReadFile(files[i])
				if err != nil {
					t.Errorf("%v", err)
					return
				}
				key, _ := strings.CutPrefix(files[i], root+"/")
				if err := f(i, key, content); err != nil {
					t.Errorf("%s: %v", key, err)
				}
				sum.Add(int64(len(content)))
			}
		})
	}
	workers.Wait()
	return sum.Load()
}
