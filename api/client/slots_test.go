package client

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stead-io/stead/api"
)

func TestSlotRequestsOnTheWire(t *testing.T) {
	var seen *http.Request
	client := open(t, inMemory{"a": func(w http.ResponseWriter, r *http.Request) {
		seen = r
		says(struct{}{})(w, r)
	}})
	f := func(want string, keyed bool, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if got := seen.Method + " " + seen.URL.RequestURI(); got != want || (seen.Header.Get(api.HeaderIdempotencyKey) != "") != keyed {
			t.Errorf("sent %q with key %q, want %q", got, seen.Header.Get(api.HeaderIdempotencyKey), want)
		}
	}
	_, err := client.Slots(t.Context())
	f("GET /v1/slots", false, err)
	_, err = client.Slot(t.Context(), 65535)
	f("GET /v1/slots/65535", false, err)
	_, err = client.ProposeSlots(t.Context(), api.SlotProposals{Node: "n1"})
	f("POST /v1/slots/cas", false, err)
	_, err = client.CancelChange(t.Context(), 12)
	f("POST /v1/ring/changes/12/cancel", true, err)
	_, err = client.EvictNode(t.Context(), "n2")
	f("POST /v1/nodes/n2/evict", true, err)
	_, err = client.ForceSlot(t.Context(), 7, "n2")
	f("POST /v1/slots/7/force", true, err)
}

// TestProposeSlotsIsRepeated: what became of a proposal is not known after a lost answer, and asking again
// does no harm.
func TestProposeSlotsIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := says(api.SlotVerdicts{Verdicts: []api.SlotVerdict{{Config: api.SlotConfig{Slot: 3, Epoch: 8}}}})
		client := open(t, inMemory{"a": inTurn(refuses(api.CodeAmbiguous), refuses(api.CodeNoLeader), answer), "b": hang})
		verdicts, err := client.ProposeSlots(t.Context(), api.SlotProposals{Node: "n1", Proposals: make([]api.SlotProposal, 1)})
		if err != nil || verdicts.Verdicts[0].Config.Epoch != 8 {
			t.Errorf("got %+v, %v", verdicts, err)
		}
	})
}

func TestProposeSlotsKeepsItsBounds(t *testing.T) {
	client := open(t, inMemory{"a": says(api.SlotVerdicts{})})
	f := func(proposals int, want string) {
		t.Helper()
		_, err := client.ProposeSlots(t.Context(), api.SlotProposals{Node: "n1", Proposals: make([]api.SlotProposal, proposals)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d proposals: %v, want %q", proposals, err, want)
		}
	}
	f(65, "65 are more than 64")
	f(2, "0 verdicts answer 2 proposals")
}
