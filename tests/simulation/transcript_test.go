package simulation

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/stead-io/stead/controlplane/fsm"
	"github.com/stead-io/stead/tests/history"
)

// transcript is what a run leaves behind: a line for each thing that happened, first what, then the rest.
//
//	scene      the seed and what it was run with
//	entry      an entry of the control plane's log, quoted, behind its index
//	state      the digest of the control plane's state, behind an index: that of the entries so far
//	operation  what a client did, as JSON, once it was answered
//	fault      what is not as it must be
//	trouble    what the simulation did to the cluster
type transcript struct {
	mu    sync.Mutex
	lines []string
}

// digestEvery is how many entries go by between two digests of the state.
const digestEvery = 200

func newTranscript(of scene) *transcript {
	t := &transcript{}
	text, _ := json.Marshal(of)
	t.add("scene", string(text))
	return t
}

func (t *transcript) add(what, rest string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, what+" "+rest)
}

func (t *transcript) entry(index uint64, entry []byte, state *fsm.State) {
	t.add("entry", fmt.Sprintf("%d %s", index, strconv.Quote(string(entry))))
	if index%digestEvery == 0 {
		t.add("state", fmt.Sprintf("%d %s", index, digestOf(state)))
	}
}

func (t *transcript) operation(o history.Operation) {
	text, _ := json.Marshal(o)
	t.add("operation", string(text))
}

func digestOf(state *fsm.State) string {
	var encoded bytes.Buffer
	if err := state.Encode(&encoded); err != nil {
		return err.Error()
	}
	sum := sha256.Sum256(encoded.Bytes())
	return fmt.Sprintf("%x", sum[:12])
}

// save writes the transcript to a new file.
func (t *transcript) save(name string) (path string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	file, err := os.CreateTemp("", "simulation-"+strings.NewReplacer("/", "-", "=", "").Replace(name)+"-*.txt")
	if err != nil {
		return "", err
	}
	_, err = file.WriteString(strings.Join(t.lines, "\n") + "\n")
	return file.Name(), cmp.Or(err, file.Close())
}

// replay goes through a transcript: every entry is applied again and must lead to the same states, every
// configuration is judged again, and the clients' operations are. It returns what is not as it must be.
func replay(from io.Reader) (faults []string, err error) {
	j := newJudge(&transcript{})
	state, byKey := fsm.New(), make(map[string][]history.Operation)
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		what, rest, _ := strings.Cut(lines.Text(), " ")
		switch what {
		case "entry":
			state, err = replayEntry(j, state, rest)
		case "state":
			if index, digest, _ := strings.Cut(rest, " "); digest != digestOf(state) {
				err = fmt.Errorf("the state after entry %s is %s, was %s", index, digestOf(state), digest)
			}
		case "operation":
			var o history.Operation
			err = json.Unmarshal([]byte(rest), &o)
			byKey[o.Key] = append(byKey[o.Key], o)
		}
		if err != nil {
			return nil, fmt.Errorf("line %.60q: %w", lines.Text(), err)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		of := byKey[key]
		slices.SortFunc(of, func(a, b history.Operation) int { return cmp.Compare(a.Call, b.Call) })
		if err := history.Check(of); err != nil {
			j.fault("%s: %v", key, err)
		}
	}
	return j.faults, lines.Err()
}

func replayEntry(j *judge, before *fsm.State, text string) (*fsm.State, error) {
	number, quoted, _ := strings.Cut(text, " ")
	index, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return nil, err
	}
	entry, err := strconv.Unquote(quoted)
	if err != nil {
		return nil, err
	}
	state, result, err := fsm.Apply(before, index, []byte(entry))
	if err == nil {
		j.committed(index, []byte(entry), state, result)
	}
	return state, err
}
