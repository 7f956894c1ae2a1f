package fsm

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
)

// A snapshot is one line, "stead-snapshot/1 <SHA-256 of the rest, hex>", and then one JSON document.
// Arrays of slots travel as base64 of big-endian rows: they are most of it.
const (
	snapshotMagic = "stead-snapshot/1 "
	snapshotMax   = 1 << 30
)

// ErrSnapshot means that a snapshot is damaged, cut short, or of another format.
var ErrSnapshot = errors.New("not a whole stead-snapshot/1")

type snapshotDocument struct {
	Cluster    api.ClusterID     `json:"cluster"`
	Generation uint64            `json:"generation"`
	Number     uint64            `json:"number"`
	Index      uint64            `json:"index"`
	Level      int               `json:"level"`
	Clock      int64             `json:"clock"`
	Settings   api.Settings      `json:"settings"`
	Members    []Member          `json:"members"`
	Enlisted   []Enlisted        `json:"enlisted,omitempty"`
	NodeSpan   int               `json:"node_span"` // length of the index space, free ones included
	Nodes      []*Node           `json:"nodes"`
	Slots      []Slot            `json:"slots"`
	Chunks     []string          `json:"chunks"` // distinct chunks of want tables
	Want       wantDocument      `json:"want"`
	LastChange api.ChangeID      `json:"last_change"`
	Pending    []api.ChangeID    `json:"pending"`
	Changes    []changeDocument  `json:"changes"`
	Versions   []versionDocument `json:"versions"`
	Results    []*keyedResult    `json:"results,omitempty"`
	Forgotten  uint64            `json:"forgotten,omitempty"`
	Deliveries []Delivery        `json:"deliveries,omitempty"`
	Removed    []Removed         `json:"removed,omitempty"`
	SlotsIndex uint64            `json:"slots_index,omitempty"`
	PlanIndex  uint64            `json:"plan_index,omitempty"`
}

// wantDocument names the chunks of a want table by their place in Chunks.
type wantDocument struct {
	Chunks []int        `json:"chunks,omitempty"`
	Names  []api.NodeID `json:"names,omitempty"`
}

type changeDocument struct {
	Change
	Want wantDocument `json:"want"`
}

type versionDocument struct {
	Number   uint64           `json:"number"`
	Time     int64            `json:"time"`
	Change   api.ChangeID     `json:"change,omitempty"`
	Cause    string           `json:"cause"`
	Nodes    []ring.NodeEntry `json:"nodes,omitempty"`
	Slots    string           `json:"slots,omitempty"` // slot u16, epoch u64, R × u16
	Settings *api.Settings    `json:"settings,omitempty"`
}

// Encode writes a snapshot of the state.
func (s *State) Encode(w io.Writer) error {
	body, err := json.Marshal(s.document())
	if err != nil {
		return fmt.Errorf("cannot encode the snapshot: %w", err)
	}
	sum := sha256.Sum256(body)
	if _, err := io.WriteString(w, snapshotMagic+hex.EncodeToString(sum[:])+"\n"); err != nil {
		return err
	}
	_, err = w.Write(body)
	return err
}

func (s *State) document() *snapshotDocument {
	doc := &snapshotDocument{
		Cluster: s.Cluster, Generation: s.Generation, Number: s.Number, Index: s.Index,
		Level: s.Level, Clock: s.Clock, Settings: s.Settings, Members: s.Members, Enlisted: s.Enlisted,
		NodeSpan: len(s.nodes), Nodes: s.Nodes(), LastChange: s.lastID, Pending: s.pending,
		Results: s.results.items, Forgotten: s.forgotten, Deliveries: s.deliveries, Removed: s.removed,
		SlotsIndex: s.slotsIndex, PlanIndex: s.planIndex,
	}
	for i := range s.slots.count() {
		doc.Slots = append(doc.Slots, s.slots.at(ring.Slot(i)))
	}
	pool := chunkPool{places: make(map[*ring.NodeIndex]int)}
	doc.Want = pool.add(s.want)
	for _, change := range s.changes {
		doc.Changes = append(doc.Changes, changeDocument{Change: *change, Want: pool.add(change.want)})
	}
	doc.Chunks = pool.chunks
	for _, record := range s.versions.items {
		doc.Versions = append(doc.Versions, record.document(s.Settings.Replicas))
	}
	return doc
}

// chunkPool writes each distinct chunk once; sharing is recognised by its address.
type chunkPool struct {
	places map[*ring.NodeIndex]int
	chunks []string
}

func (p *chunkPool) add(want wantTable) wantDocument {
	if want.replicas == 0 {
		return wantDocument{}
	}
	doc := wantDocument{Names: want.names}
	for _, chunk := range want.chunks {
		place, known := p.places[&chunk[0]]
		if !known {
			place = len(p.chunks)
			p.chunks = append(p.chunks, base64.StdEncoding.EncodeToString(PackWant(chunk)))
			p.places[&chunk[0]] = place
		}
		doc.Chunks = append(doc.Chunks, place)
	}
	return doc
}

func (r *versionRecord) document(replicas int) versionDocument {
	var rows []byte
	for i, slot := range r.Before.Slots {
		rows = binary.BigEndian.AppendUint16(rows, uint16(slot))
		rows = binary.BigEndian.AppendUint64(rows, uint64(r.Before.Epochs[i]))
		rows = append(rows, PackWant(r.Before.Owners[i*replicas:(i+1)*replicas])...)
	}
	return versionDocument{
		Number: r.Number, Time: r.Time, Change: r.Change, Cause: r.Cause,
		Nodes: r.Before.Nodes, Slots: base64.StdEncoding.EncodeToString(rows), Settings: r.Settings,
	}
}

// DecodeState reads a snapshot whole or not at all.
func DecodeState(r io.Reader) (*State, error) {
	reader := bufio.NewReader(io.LimitReader(r, snapshotMax))
	header, err := reader.ReadSlice('\n') // of bounded length: it may be anything
	line := string(header)
	if err != nil || !strings.HasPrefix(line, snapshotMagic) {
		return nil, fmt.Errorf("%w: no header", ErrSnapshot)
	}
	body, err := io.ReadAll(reader)
	if err != nil {
		return nil, fmt.Errorf("cannot read the snapshot: %w", err)
	}
	if sum := sha256.Sum256(body); strings.TrimSpace(line[len(snapshotMagic):]) != hex.EncodeToString(sum[:]) {
		return nil, fmt.Errorf("%w: %s", ErrSnapshot, damage(body))
	}
	var doc snapshotDocument
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	state, err := doc.state()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	return state, nil
}

// damage says what is wrong with a document that is not what its digest was made of.
func damage(body []byte) string {
	decoder := json.NewDecoder(bytes.NewReader(body))
	var document json.RawMessage
	err := decoder.Decode(&document)
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Sprintf("it is cut short after %d bytes of its document", len(body))
	case errors.As(err, &syntax):
		return fmt.Sprintf("its document is altered at byte %d of %d", syntax.Offset, len(body))
	case decoder.InputOffset() < int64(len(body)):
		return fmt.Sprintf("its document ends at byte %d and %d more follow", decoder.InputOffset(), int64(len(body))-decoder.InputOffset())
	default:
		return fmt.Sprintf("its %d bytes of document have another digest: they are altered", len(body))
	}
}
