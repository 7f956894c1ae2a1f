package api_test

import (
	"strings"
	"testing"

	"github.com/stead-io/stead/api"
)

func TestNames(t *testing.T) {
	f := func(name string, valid bool) {
		t.Helper()
		for what, err := range map[string]error{
			"node id": api.NodeID(name).Validate(), "proxy id": api.ProxyID(name).Validate(), "member name": api.ValidateMemberName(name),
		} {
			if (err == nil) != valid {
				t.Errorf("%s %q: %v", what, name, err)
			}
			if err != nil && !strings.Contains(err.Error(), what) {
				t.Errorf("%q: %v does not say it is a %s", name, err, what)
			}
		}
	}
	f("n1", true)
	f("9", true)
	f("Node_1.example-com", true)
	f(strings.Repeat("n", 64), true)
	f("", false)
	f(strings.Repeat("n", 65), false)
	f("-n", false)
	f(".", false)
	f("a/b", false)
	f("a b", false)
	f("n1\n", false)
	f("nö", false)
}

func TestHexIDs(t *testing.T) {
	f := func(text string, valid bool) {
		t.Helper()
		if err := api.ClusterID(text).Validate(); (err == nil) != valid {
			t.Errorf("cluster id %q: %v", text, err)
		}
		if err := api.StoreID(text).Validate(); (err == nil) != valid {
			t.Errorf("store id %q: %v", text, err)
		}
	}
	f("0123456789abcdef0123456789abcdef", true)
	f("0123456789ABCDEF0123456789abcdef", false)
	f("0123456789abcdef0123456789abcde", false)
	f("0123456789abcdef0123456789abcdef00", false)
	f("x123456789abcdef0123456789abcdef", false)
	f("", false)
}

func TestClip(t *testing.T) {
	if got := api.Clip(strings.Repeat("x", 80)); len(got) != 80 {
		t.Errorf("80 bytes became %q", got)
	}
	if got := api.Clip(strings.Repeat("x", 81)); got != strings.Repeat("x", 80)+"…" {
		t.Errorf("81 bytes became %q", got)
	}
}

func TestVersion(t *testing.T) {
	f := func(a, b api.Version, want int) {
		t.Helper()
		if got := a.Compare(b); got != want {
			t.Errorf("%s and %s: %d", a, b, got)
		}
		if got := b.Compare(a); got != -want {
			t.Errorf("%s and %s: %d", b, a, got)
		}
	}
	v := func(generation, number uint64) api.Version {
		return api.Version{Generation: generation, Number: number}
	}
	f(v(1, 7), v(1, 7), 0)
	f(v(1, 7), v(1, 8), -1)
	f(v(2, 1), v(1, 8), 1)
	if got := v(1, 7).ETag(); got != `"1-7"` {
		t.Errorf("the tag is %s", got)
	}
}

func TestParseVersion(t *testing.T) {
	f := func(text string, want api.Version, valid bool) {
		t.Helper()
		got, err := api.ParseVersion(text)
		if got != want || (err == nil) != valid {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
	f("1-7", api.Version{Generation: 1, Number: 7}, true)
	f("0-0", api.Version{}, true)
	f("1-9007199254740991", api.Version{Generation: 1, Number: 1<<53 - 1}, true)
	f("1-9007199254740992", api.Version{}, false)
	f("", api.Version{}, false)
	f("7", api.Version{}, false)
	f("1-", api.Version{}, false)
	f("1--7", api.Version{}, false)
	f("+1-7", api.Version{}, false)
	f("1-7-2", api.Version{}, false)
	f(`"1-7"`, api.Version{}, false)
}

func FuzzParseVersion(f *testing.F) {
	for _, text := range []string{"1-7", "0-0", "01-7", "9007199254740992-1", "1-0x7", "1_0-1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		version, err := api.ParseVersion(text)
		if err != nil {
			return
		}
		again, err := api.ParseVersion(version.String())
		if err != nil || again != version {
			t.Errorf("%q: %v, then %v, %v", text, version, again, err)
		}
	})
}
