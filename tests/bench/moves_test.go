//go:build bench && linux

package bench

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

var (
	moveBytes = flag.Int64("move-bytes", bytesFromEnvironment(), "bytes of values (BENCH_BYTES); 200 MB with -short")
	replicas  = flag.Int("replicas", 1, "replicas of each slot of Stead")
	pipeline  = flag.Int("redis-pipeline", 10, "keys in one MIGRATE of redis-cli; 10 is its default")
)

const (
	moveBytesDefault = 2_000_000_000
	moveBytesShort   = 200_000_000
	copyOutDefault   = 100_000_000 // bytes per second that a node sends to others unless told otherwise
)

func bytesFromEnvironment() int64 {
	text := cmp.Or(os.Getenv("BENCH_BYTES"), strconv.Itoa(moveBytesDefault))
	bytes, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		panic(fmt.Sprintf("BENCH_BYTES=%s is not a number of bytes", text))
	}
	return bytes
}

// moved is how a cluster of three grew to four.
type moved struct {
	load   time.Duration // until all values were written
	join   time.Duration // from the start of the fourth to the first slot on its way
	move   time.Duration // from there until every slot was where it is wanted
	copied int64         // bytes, between processes
	used   work          // by those that hold values, while slots moved
	disk   alone         // what the disk needs for as many bytes
}

// TestMoves grows clusters from three nodes to four, each with the same values, and shows how long what moved
// took beside what the disk alone takes for as many bytes, and beside Redis Cluster.
func TestMoves(t *testing.T) {
	wanted := *moveBytes
	if testing.Short() {
		wanted = moveBytesShort
	}
	all := newValues(fitting(t, wanted))
	var table figures
	table.add("", "load", "join", "move", "copied", "rate", "CPU", "CPU/GB", "written", "disk alone: write", "read", "move/disk")
	runs := []struct {
		name string
		grow func(testing.TB, values) moved
	}{
		{fmt.Sprintf("stead, %s out of a node", rate(copyOutDefault, time.Second)), growStead()},
		{"stead, no throttle", growStead("--copy-out", "0", "--copy-in", "0")},
		{fmt.Sprintf("redis, pipeline %d", *pipeline), growRedis},
	}
	took := make(map[string]moved)
	for _, run := range runs {
		t.Run(run.name, func(t *testing.T) {
			got := run.grow(t, all)
			took[run.name] = got
			table.add(row(run.name, got)...)
		})
	}
	table.print(fmt.Sprintf("%s in %d values of %d bytes, 3 nodes to 4 (Stead with R = %d)", megabytes(all.size()), all.count, valueSize, *replicas))
	peer, ran := took[runs[2].name]
	for _, run := range runs[:2] {
		if own := took[run.name]; ran && own.move > 0 {
			fmt.Printf("redis takes %.2f times as long as %s\n", peer.move.Seconds()/own.move.Seconds(), run.name)
		}
	}
}

func row(name string, m moved) []any {
	gigabytes := max(1, float64(m.copied)) / 1e9
	return []any{name, seconds(m.load), seconds(m.join), seconds(m.move), megabytes(m.copied), rate(m.copied, m.move),
		seconds(m.used.cpu), seconds(time.Duration(float64(m.used.cpu) / gigabytes)), megabytes(m.used.written),
		seconds(m.disk.write), seconds(m.disk.read), fmt.Sprintf("%.2f", m.move.Seconds()/(m.disk.write+m.disk.read).Seconds())}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// growRedis does it with Redis Cluster: every value is written to the append-only file, synced each second.
func growRedis(t testing.TB, all values) (m moved) {
	r := startRedis(t, 3)
	clients := r.clients()
	m.load = all.load(t, func(i int, value []byte) error {
		client := <-clients
		defer func() { clients <- client }()
		_, err := client.do(keyOf(i), "SET", keyOf(i), string(value))
		return err
	})
	start := time.Now()
	added := r.addServer()
	address := r.addresses[len(r.addresses)-1]
	r.join(address)
	m.join = time.Since(start)
	before, received := workOf(t, r.servers...), r.received(address)
	start = time.Now()
	r.reshard(address)
	m.move = time.Since(start)
	m.used, m.copied = workOf(t, r.servers...).since(before), r.received(address)-received
	t.Logf("%s uses %d MiB of memory", added.Name, residentOf(t, added.PID()))
	all.check(t, func(i int) ([]byte, error) {
		client := <-clients
		defer func() { clients <- client }()
		return client.do(keyOf(i), "GET", keyOf(i))
	})
	m.disk = diskAlone(t, m.copied)
	return m
}
