package ring

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/stead-io/stead/api"
)

// The binary form of a table, big-endian. One table has exactly one form: what decodes encodes to
// the same bytes.
//
//	magic      "SRT1"
//	cluster    16 bytes
//	generation u64
//	version    u64
//	previous   u64
//	k          u8
//	R          u8
//	hash       u8
//	nodes      u16, how many are listed; then each, by ascending index:
//	             index u16, id (u8 length, bytes), address (u8 length, bytes), status u8
//	slots      2^k of: epoch u64, R × node index u16, primary first, 0xFFFF behind the last replica
const (
	tableMagic  = "SRT1"
	nodeSizeMin = 2 + 1 + 1 + 1 + 1 + 1
)

// slotSize is the length of one slot in the binary form.
func slotSize(replicas int) int { return 8 + 2*replicas }

// Digest is the SHA-256 of a table's binary form: two tables are the same if their digests are.
type Digest [sha256.Size]byte

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// parseDigest reads 64 hex digits.
func parseDigest(text string) (Digest, error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != sha256.Size {
		return Digest{}, invalid("digest %q is not 64 hex digits", api.Clip(text))
	}
	return Digest(raw), nil
}

// Digest hashes the table's binary form.
func (t *Table) Digest() Digest { return sha256.Sum256(t.AppendBinary(nil)) }

// Clone copies the table so that the copy can be changed.
func (t *Table) Clone() *Table {
	clone := *t
	clone.Nodes = slices.Clone(t.Nodes)
	clone.Epochs = slices.Clone(t.Epochs)
	clone.Owners = slices.Clone(t.Owners)
	return &clone
}

// AppendBinary appends the table's binary form. The table must be valid.
func (t *Table) AppendBinary(out []byte) []byte {
	out = slices.Grow(out, t.binarySize())
	out = append(out, tableMagic...)
	var cluster [16]byte
	_, _ = hex.Decode(cluster[:], []byte(t.Cluster)[:min(len(t.Cluster), 2*len(cluster))])
	out = append(out, cluster[:]...)
	out = binary.BigEndian.AppendUint64(out, t.Version.Generation)
	out = binary.BigEndian.AppendUint64(out, t.Version.Number)
	out = binary.BigEndian.AppendUint64(out, t.Previous)
	out = append(out, byte(t.Bits), byte(t.Replicas), byte(t.Hash))
	out = t.appendNodes(out)
	for slot, epoch := range t.Epochs {
		out = binary.BigEndian.AppendUint64(out, uint64(epoch))
		for _, index := range t.ReplicasOf(Slot(slot)) {
			out = binary.BigEndian.AppendUint16(out, uint16(index))
		}
	}
	return out
}

func (t *Table) appendNodes(out []byte) []byte {
	count := len(out)
	out = append(out, 0, 0)
	listed := 0
	for i, node := range t.Nodes {
		if node.ID == "" {
			continue
		}
		listed++
		out = binary.BigEndian.AppendUint16(out, uint16(i))
		out = append(append(out, byte(len(node.ID))), node.ID...)
		out = append(append(out, byte(len(node.Address))), node.Address...)
		out = append(out, byte(node.Status))
	}
	binary.BigEndian.PutUint16(out[count:], uint16(listed))
	return out
}

// binarySize is what AppendBinary will need, or a little more.
func (t *Table) binarySize() int {
	size := len(tableMagic) + 16 + 3*8 + 3 + 2 + len(t.Epochs)*slotSize(t.Replicas)
	for _, node := range t.Nodes {
		size += nodeSizeMin + len(node.ID) + len(node.Address)
	}
	return size
}

// DecodeTable reads a table's binary form, all of it. Whatever is not exactly what AppendBinary
// writes for a valid table is refused. Memory stays within a few times the input, plus 3 MiB.
func DecodeTable(raw []byte) (*Table, error) {
	table, err := decodeTable(raw)
	if err != nil {
		return nil, fmt.Errorf("cannot decode table: %w", err)
	}
	return table, nil
}

func decodeTable(raw []byte) (*Table, error) {
	in := &reader{rest: raw}
	if magic := in.take(len(tableMagic)); string(magic) != tableMagic {
		return nil, invalid("it does not begin with %q", tableMagic)
	}
	table := &Table{Cluster: api.ClusterID(hex.EncodeToString(in.take(16)))}
	table.Version = api.Version{Generation: in.uint64(), Number: in.uint64()}
	table.Previous = in.uint64()
	table.Bits, table.Replicas, table.Hash = Bits(in.uint8()), int(in.uint8()), HashID(in.uint8())
	if err := validateGeometry(table.Bits, table.Replicas, table.Hash); err != nil {
		return nil, err
	}
	var err error
	if table.Nodes, err = decodeNodes(in); err != nil {
		return nil, err
	}
	if err := table.decodeSlots(in); err != nil {
		return nil, err
	}
	return table, table.Validate()
}

func (t *Table) decodeSlots(in *reader) error {
	slots := t.Bits.Slots()
	if want := slots * slotSize(t.Replicas); len(in.rest) != want {
		return invalid("%d bytes of slots, not %d", len(in.rest), want)
	}
	t.Epochs = make([]Epoch, slots)
	t.Owners = make([]NodeIndex, 0, slots*t.Replicas)
	for slot := range t.Epochs {
		t.Epochs[slot] = Epoch(in.uint64())
		for range t.Replicas {
			t.Owners = append(t.Owners, NodeIndex(in.uint16()))
		}
	}
	return nil
}

func decodeNodes(in *reader) ([]Node, error) {
	count := int(in.uint16())
	if len(in.rest) < count*nodeSizeMin {
		return nil, invalid("%d nodes do not fit into %d bytes", count, len(in.rest))
	}
	nodes := make([]Node, 0, count)
	for range count {
		index := int(in.uint16())
		node := Node{ID: api.NodeID(in.text()), Address: in.text(), Status: Status(in.uint8())}
		switch {
		case in.short:
			return nil, invalid("it ends within its nodes")
		case index < len(nodes) || index >= int(NoNode):
			return nil, invalid("node index %d is out of order or out of range", index)
		case node.ID == "":
			return nil, invalid("node %d has no id", index)
		}
		nodes = append(nodes, make([]Node, index-len(nodes))...)
		nodes = append(nodes, node)
	}
	return nodes, nil
}

// reader takes bytes apart from the front. Once they run short it yields zeros and remembers.
type reader struct {
	rest  []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if len(r.rest) < n {
		r.rest, r.short = nil, true
		return make([]byte, n)
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) uint8() uint8   { return r.take(1)[0] }
func (r *reader) uint16() uint16 { return binary.BigEndian.Uint16(r.take(2)) }
func (r *reader) uint32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }
func (r *reader) uint64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

// text reads a string behind its length in one byte.
func (r *reader) text() string { return string(r.take(int(r.uint8()))) }
