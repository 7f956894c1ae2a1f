package simulation

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane/fsm"
)

func TestZZ(t *testing.T) {
	f, _ := os.Open(os.Getenv("ZZ"))
	slot, _ := strconv.Atoi(os.Getenv("ZZSLOT"))
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 64<<20)
	state := fsm.New()
	last := ""
	n := 0
	for sc.Scan() {
		n++
		what, rest, _ := strings.Cut(sc.Text(), " ")
		if what != "entry" {
			continue
		}
		number, quoted, _ := strings.Cut(rest, " ")
		index, _ := strconv.ParseUint(number, 10, 64)
		entry, _ := strconv.Unquote(quoted)
		next, _, err := fsm.Apply(state, index, []byte(entry))
		if err != nil {
			t.Fatal(err)
		}
		state = next
		if is := fmt.Sprintf("%+v", state.SlotConfig(api.Slot(slot))); is != last {
			fmt.Println(n, index, is)
			last = is
		}
	}
}
