//go:build bench && linux

package bench

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/tests/cluster"
)

const (
	redisSlots    = 16384
	redisBusAbove = 10000 // of a server's port is that of its bus
	redisPortTry  = 100
)

// redisCluster is masters of Redis Cluster without replicas: processes of their own, with data on disk.
type redisCluster struct {
	t         testing.TB
	cli       string
	servers   []*cluster.Process
	addresses []string
}

// startRedis runs so many masters that share the slots, and skips the test where there is no Redis.
func startRedis(t testing.TB, masters int) *redisCluster {
	t.Helper()
	cli, err := exec.LookPath("redis-cli")
	_, missing := exec.LookPath("redis-server")
	if errors.Join(err, missing) != nil {
		t.Skipf("Redis is not installed, so there is nothing to stand beside (Debian: apt-get install redis-server): %v", errors.Join(err, missing))
	}
	r := &redisCluster{t: t, cli: cli}
	for range masters {
		r.addServer()
	}
	r.command(append([]string{"--cluster", "create", "--cluster-yes", "--cluster-replicas", "0"}, r.addresses...)...)
	r.awaitAgreed()
	return r
}

// addServer starts a server that belongs to no cluster yet.
func (r *redisCluster) addServer() *cluster.Process {
	r.t.Helper()
	address := r.freeAddress()
	_, port, _ := net.SplitHostPort(address)
	server := cluster.Run(r.t, "redis-"+port, "redis-server", "--bind", "127.0.0.1", "--port", port, "--cluster-enabled", "yes",
		"--dir", r.t.TempDir(), "--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--loglevel", "warning")
	r.servers, r.addresses = append(r.servers, server), append(r.addresses, address)
	r.await("a server of Redis to answer", func() error { return r.try("-p", port, "ping") })
	return server
}

// freeAddress is one whose port is free, and the bus's too.
func (r *redisCluster) freeAddress() string {
	r.t.Helper()
	for range redisPortTry {
		address := cluster.FreeAddress(r.t)
		_, port, _ := net.SplitHostPort(address)
		number, _ := strconv.Atoi(port) // FreeAddress made it
		if bus, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", number+redisBusAbove)); err == nil {
			_ = bus.Close()
			return address
		}
	}
	r.t.Fatal("no port is free for a server of Redis and its bus")
	return ""
}

// reshard gives the new server its share of the slots.
func (r *redisCluster) reshard(added string) {
	r.t.Helper()
	_, port, _ := net.SplitHostPort(added)
	id := strings.TrimSpace(r.command("-p", port, "cluster", "myid"))
	r.command("--cluster", "reshard", r.addresses[0], "--cluster-from", "all", "--cluster-to", id,
		"--cluster-slots", strconv.Itoa(redisSlots/len(r.servers)), "--cluster-yes", "--cluster-pipeline", strconv.Itoa(*pipeline))
}

// join makes a server a master without slots.
func (r *redisCluster) join(added string) {
	r.t.Helper()
	r.command("--cluster", "add-node", added, r.addresses[0])
	r.awaitAgreed()
}

// awaitAgreed waits until every server knows all others, and all see the same slots.
func (r *redisCluster) awaitAgreed() {
	r.t.Helper()
	known := fmt.Sprintf("cluster_known_nodes:%d\r\n", len(r.servers))
	r.await("the servers of Redis to agree", func() error {
		for _, address := range r.addresses {
			_, port, _ := net.SplitHostPort(address)
			info := r.command("-p", port, "cluster", "info")
			if !strings.Contains(info, known) || !strings.Contains(info, "cluster_state:ok") {
				return errors.New(info)
			}
		}
		return r.try("--cluster", "check", r.addresses[0])
	})
}

func (r *redisCluster) await(what string, reached func() error) {
	r.t.Helper()
	deadline := time.Now().Add(cluster.Patience)
	for {
		err := reached()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("waited in vain for %s: %v", what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (r *redisCluster) try(args ...string) error {
	output, err := exec.Command(r.cli, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("redis-cli %v: %w: %s", args, err, output)
	}
	return nil
}

func (r *redisCluster) command(args ...string) string {
	r.t.Helper()
	output, err := exec.Command(r.cli, args...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("redis-cli %v: %v: %s", args, err, output[max(0, len(output)-2048):])
	}
	return string(output)
}

// received is how many bytes a server has got from the network.
func (r *redisCluster) received(address string) int64 {
	r.t.Helper()
	_, port, _ := net.SplitHostPort(address)
	_, behind, _ := strings.Cut(r.command("-p", port, "info", "stats"), "total_net_input_bytes:")
	number, _, _ := strings.Cut(behind, "\r\n")
	bytes, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		r.t.Fatal(err)
	}
	return bytes
}
