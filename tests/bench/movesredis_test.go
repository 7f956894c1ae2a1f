//go:build bench && linux

package bench

import (
	"bufio"
	"errors"
	"fmt"
	"io"
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

// redisClient asks the servers one request at a time; what they say of slots that moved it remembers.
type redisClient struct {
	first  string
	owners map[uint16]string
	conns  map[string]*redisConn
}

type redisConn struct {
	net.Conn
	in *bufio.Reader
}

// clients is a pool of clients, each for one request at a time.
func (r *redisCluster) clients() chan *redisClient {
	pool := make(chan *redisClient, loaders)
	for range loaders {
		client := &redisClient{first: r.addresses[0], owners: make(map[uint16]string), conns: make(map[string]*redisConn)}
		r.t.Cleanup(client.close)
		pool <- client
	}
	return pool
}

func (c *redisClient) close() {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

var errMoved = errors.New("MOVED")

// redirectsMax is how often one request is sent on.
const redirectsMax = 3

// do sends a request about a key to whoever has it.
func (c *redisClient) do(key string, args ...string) (answer []byte, err error) {
	slot := redisSlot(key)
	for range redirectsMax {
		address := c.owners[slot]
		if address == "" {
			address = c.first
		}
		answer, err = c.ask(address, args)
		if !errors.Is(err, errMoved) {
			return answer, err
		}
		c.owners[slot] = string(answer)
	}
	return nil, err
}

func (c *redisClient) ask(address string, args []string) ([]byte, error) {
	conn := c.conns[address]
	if conn == nil {
		dialed, err := net.Dial("tcp", address)
		if err != nil {
			return nil, err
		}
		conn = &redisConn{dialed, bufio.NewReaderSize(dialed, 2*valueSize)}
		c.conns[address] = conn
	}
	request := fmt.Appendf(nil, "*%d\r\n", len(args))
	for _, arg := range args {
		request = fmt.Appendf(request, "$%d\r\n%s\r\n", len(arg), arg)
	}
	if _, err := conn.Write(request); err != nil {
		return nil, err
	}
	return conn.answer()
}

// answer reads a status, an error or a string; with errMoved it is the address of the owner.
func (c *redisConn) answer() ([]byte, error) {
	line, err := c.in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	text := strings.TrimSpace(line[1:])
	switch line[0] {
	case '+':
		return []byte(text), nil
	case '$':
		length, err := strconv.Atoi(text)
		if err != nil || length < 0 {
			return nil, errors.Join(errors.New("there is no such value"), err)
		}
		value := make([]byte, length+len("\r\n"))
		_, err = io.ReadFull(c.in, value)
		return value[:length], err
	}
	if fields := strings.Fields(text); fields[0] == errMoved.Error() {
		return []byte(fields[2]), errMoved
	}
	return nil, errors.New(text)
}

// redisSlot is CRC-16 (XMODEM) of the key, as Redis Cluster has it.
func redisSlot(key string) uint16 {
	sum := uint16(0)
	for i := range len(key) {
		sum ^= uint16(key[i]) << 8
		for range 8 {
			if carry := sum&0x8000 != 0; carry {
				sum = sum<<1 ^ 0x1021
			} else {
				sum <<= 1
			}
		}
	}
	return sum % redisSlots
}
