package ring_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

func TestTableRoundTrip(t *testing.T) {
	f := func(table *ring.Table) {
		t.Helper()
		raw := table.AppendBinary([]byte("before"))[len("before"):]
		decoded, err := ring.DecodeTable(raw)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(decoded.AppendBinary(nil), raw) || decoded.Digest() != table.Digest() {
			t.Error("decoding and encoding gives other bytes")
		}
	}
	f(sample())
	f(ring.NewTable("00000000000000000000000000000000", 8, 1))
	f(ring.NewTable("ffffffffffffffffffffffffffffffff", 16, 3))

	full := sample()
	for i := len(full.Nodes); i < int(ring.NoNode); i++ {
		full.Nodes = append(full.Nodes, ring.Node{})
	}
	f(full) // free indexes behind the last listed node do not travel
	last := &full.Nodes[ring.NoNode-1]
	*last = ring.Node{ID: "last", Address: "h:1", Status: ring.StatusUp}
	f(full)
}

func TestDecodeTableRefuses(t *testing.T) {
	whole := sample().AppendBinary(nil)
	f := func(raw []byte, part string) {
		t.Helper()
		_, err := ring.DecodeTable(raw)
		if !errors.Is(err, ring.ErrInvalid) || !strings.Contains(err.Error(), part) {
			t.Errorf("got %v, want %q", err, part)
		}
	}
	for length := range whole {
		f(whole[:length], "")
	}
	f(append(bytes.Clone(whole), 0), "bytes of slots")

	altered := func(at int, with ...byte) []byte {
		raw := bytes.Clone(whole)
		copy(raw[at:], with)
		return raw
	}
	const geometry = 4 + 16 + 3*8 // k, R, hash; then the nodes
	f(altered(0, 'X'), "begin with")
	f(altered(20, 0xff), "2^53")
	f(altered(geometry, 7), "k is 7")
	f(altered(geometry, 17), "k is 17")
	f(altered(geometry+1, 0), "R is 0")
	f(altered(geometry+1, 4), "R is 4")
	f(altered(geometry+2, 2), "hash 2")
	f(altered(geometry+3, 0xff, 0xff), "nodes do not fit")
	f(altered(geometry+5, 0xff, 0xff), "out of range")
	f(altered(geometry+8, '-'), "node id")
	f(altered(geometry+8, 'n', '3'), "stands at")
	f(altered(geometry+5+2+3+15, 9), "status 9")
	second := bytes.Index(whole, []byte("node-2")) - 3
	f(altered(second, 0, 0), "out of order")
	f(altered(len(whole)-2, 0, 1), "not listed")
}

func TestValidate(t *testing.T) {
	f := func(change func(*ring.Table), part string) {
		t.Helper()
		table := sample().Clone()
		change(table)
		err := table.Validate()
		if !errors.Is(err, ring.ErrInvalid) || !strings.Contains(err.Error(), part) {
			t.Errorf("got %v, want %q", err, part)
		}
	}
	f(func(t *ring.Table) { t.Cluster = "" }, "cluster id")
	f(func(t *ring.Table) { t.Cluster = api.ClusterID(strings.ToUpper(string(t.Cluster))) }, "cluster id")
	f(func(t *ring.Table) { t.Previous = 1 << 53 }, "2^53")
	f(func(t *ring.Table) { t.Bits = 7 }, "k is 7")
	f(func(t *ring.Table) { t.Replicas = 3 }, "512 owners")
	f(func(t *ring.Table) { t.Hash = 0 }, "hash 0")
	f(func(t *ring.Table) { t.Epochs = t.Epochs[1:] }, "255 epochs")
	f(func(t *ring.Table) { t.Epochs[3] = 1 << 53 }, "slot 3: epoch")
	f(func(t *ring.Table) { t.Owners[0] = 1 }, "slot 0: node 1 is not listed")
	f(func(t *ring.Table) { t.Owners[0] = 99 }, "slot 0: node 99 is not listed")
	f(func(t *ring.Table) { t.Owners[1] = t.Owners[0] }, "stands twice")
	f(func(t *ring.Table) { t.Owners[0] = ring.NoNode }, "behind an empty place")
	f(func(t *ring.Table) { t.Nodes = make([]ring.Node, 65536) }, "65536 node indexes")
	f(func(t *ring.Table) { t.Nodes[1].Address = "h:1" }, "free index 1")
	f(func(t *ring.Table) { t.Nodes[0].Address = "nowhere" }, "node 0: address")
	f(func(t *ring.Table) { t.Nodes[0].Status = 0 }, "status 0")
	f(func(t *ring.Table) { t.Nodes[0].ID = "n3" }, "node n3 stands at 0 and 3")
	f(func(t *ring.Table) { t.Nodes[0].ID = "n 1" }, "node id")
}

func TestClone(t *testing.T) {
	table := sample()
	digest, clone := table.Digest(), table.Clone()
	clone.Nodes[0].Status = ring.StatusDown
	clone.Epochs[0], clone.Owners[0] = 99, 4
	if table.Digest() != digest {
		t.Error("changing the clone changes the table")
	}
}

func TestTableLookups(t *testing.T) {
	table := sample()
	if got := table.IndexOf("n3"); got != 3 {
		t.Errorf("n3 is at %d", got)
	}
	if got := table.IndexOf(""); got != ring.NoNode {
		t.Errorf("nobody is at %d", got)
	}
	for _, index := range []ring.NodeIndex{1, 5, ring.NoNode} {
		if node, listed := table.Node(index); listed {
			t.Errorf("%d is %v", index, node)
		}
	}
	if places := table.ReplicasOf(7); cap(places) != 2 || places[0] != 4 || table.Primary(7) != 4 {
		t.Errorf("slot 7 has %v", places)
	}
	if text := ring.StatusDraining.String() + " " + ring.Status(9).String(); text != "draining status(9)" {
		t.Error(text)
	}
}
