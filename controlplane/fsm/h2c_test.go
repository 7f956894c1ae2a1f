package fsm

import (
	"testing"

	"github.com/stead-io/stead/api"
)

// TestH2CNeedsItsLevel: an address that older members refuse is refused as long as there may be any; a node is at one host:port,
// however it is spoken to.
func TestH2CNeedsItsLevel(t *testing.T) {
	speaks := node("n1", 1)
	speaks.Address = api.SchemeH2C + speaks.Address
	h := newHistory(t)
	h.must(Level{Level: H2CLevel - 1})
	h.refuse(api.CodeUnsupported, Register{speaks})
	if got := LevelOf(Origin{}, Register{speaks}); got != H2CLevel {
		t.Errorf("it asks for level %d", got)
	}
	if got := LevelOf(Origin{}, Arrange{Edits: Edits{Add: []api.Registration{speaks}}}); got != H2CLevel {
		t.Errorf("as an edit it asks for level %d", got)
	}
	h.must(Level{Level: H2CLevel})
	h.must(Register{speaks})
	if got := h.state.Node("n1").Registration.Address; got != speaks.Address {
		t.Errorf("it is at %s", got)
	}
	other := node("n2", 1)
	other.Address = api.HostPort(speaks.Address)
	h.refuse(api.CodeAddressInUse, Register{other})
}
