package api

import (
	"strings"
	"testing"
)

func TestNodeAddress(t *testing.T) {
	f := func(address, wantHostPort string, wantH2C, wantValid bool) {
		t.Helper()
		hostPort, h2c := CutH2C(address)
		if err := ValidateNodeAddress(address); hostPort != wantHostPort || h2c != wantH2C || (err == nil) != wantValid {
			t.Errorf("%q: %q, %v, %v", address, hostPort, h2c, err)
		}
	}
	f("10.0.0.1:80", "10.0.0.1:80", false, true)
	f("h2c://10.0.0.1:80", "10.0.0.1:80", true, true)
	f("h2c://[::1]:80", "[::1]:80", true, true)
	f("h2c://h2c://h:80", "h2c://h:80", true, false)
	f("H2C://h:80", "H2C://h:80", false, false)
	f("http://h:80", "http://h:80", false, false)
	f("h2c://h", "h", true, false)
	f("h2c://h:80/", "h:80/", true, false)
	f("h2c://"+strings.Repeat("a.", 122)+"a:80", strings.Repeat("a.", 122)+"a:80", true, true)
	f("h2c://"+strings.Repeat("a.", 123)+"a:80", strings.Repeat("a.", 123)+"a:80", true, false)
	for state, valid := range map[State]bool{"": true, StateNone: true, StateManaged: false, StateHooks: false} {
		asked := Registration{ID: "n1", Address: "h2c://h:80", State: state}.WithDefaults()
		if problem := asked.Validate(); (problem == nil) != valid {
			t.Errorf("state %q: %v", state, problem)
		}
	}
}
