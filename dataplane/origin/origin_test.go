package origin

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stead-io/stead/dataplane/wire"
)

var peer = Peer{Addr: netip.MustParseAddr("10.0.0.1"), Trusted: true}

func parse(t testing.TB, fields string) *wire.Request {
	t.Helper()
	var request wire.Request
	if err := request.Parse([]byte("GET / HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n")); err != nil {
		t.Skip(err)
	}
	return &request
}

func TestClient(t *testing.T) {
	trusted, err := ParseNetworks([]string{"10.1.2.3/8", "2001:db8:1::/48", "::ffff:192.0.2.9"})
	if err != nil {
		t.Fatal(err)
	}
	f := func(by Fields, fields, want string) {
		t.Helper()
		if got := by.Client(&parse(t, fields).Head, peer, trusted); got.String() != want {
			t.Errorf("%q is from %s, want %s", fields, got, want)
		}
	}
	x, forward := Fields{X: true, Forwarded: true}, Fields{Forwarded: true}
	f(x, "", "10.0.0.1")
	f(x, "X-Forwarded-For: 1.1.1.1\r\n", "1.1.1.1")
	f(x, "X-Forwarded-For: 6.6.6.6, 1.1.1.1\r\n", "1.1.1.1")
	f(x, "X-Forwarded-For: 6.6.6.6, 1.1.1.1:80, 10.9.9.9\r\n", "1.1.1.1")
	f(x, "X-Forwarded-For: 6.6.6.6, 1.1.1.1\r\nX-Forwarded-For: [2001:db8:1::7]:1, 192.0.2.9\r\n", "1.1.1.1")
	f(x, "X-Forwarded-For: ::ffff:1.1.1.1\r\n", "1.1.1.1")
	f(x, "X-Forwarded-For: 10.7.7.7, 10.8.8.8\r\n", "10.7.7.7")
	// Whom nobody named is not known: the last one known is it.
	f(x, "X-Forwarded-For: 6.6.6.6, unknown, 10.9.9.9\r\n", "10.9.9.9")
	f(x, "X-Forwarded-For: 6.6.6.6, evil\r\n", "10.0.0.1")
	f(x, "X-Forwarded-For: 6.6.6.6,\r\n", "10.0.0.1")
	f(x, "X-Forwarded-For: 1.1.1.1\r\nForwarded: for=6.6.6.6\r\n", "1.1.1.1")
	f(x, "Forwarded: for=6.6.6.6\r\n", "10.0.0.1")
	f(forward, "X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6;proto=http, by=x;for=\"[2001:db8::1]:80\" , for=10.9.9.9\r\n", "2001:db8::1")
	f(forward, "Forwarded: for=6.6.6.6, proto=http\r\n", "10.0.0.1")
	f(forward, "Forwarded: for=6.6.6.6, for=evil\r\n", "10.0.0.1")
	f(Fields{}, "X-Forwarded-For: 1.1.1.1\r\n", "1.1.1.1")

	untrusted := Peer{Addr: netip.MustParseAddr("5.5.5.5")}
	if got := x.Client(&parse(t, "X-Forwarded-For: 1.1.1.1\r\n").Head, untrusted, trusted); got != untrusted.Addr {
		t.Errorf("an untrusted peer passes for %s", got)
	}
}

// TestMappedNetworks: a network of IPv4 is the same in the form of IPv6.
func TestMappedNetworks(t *testing.T) {
	f := func(network, address string, want bool) {
		t.Helper()
		networks, err := ParseNetworks([]string{network})
		if err != nil {
			t.Fatal(err)
		}
		if got := networks.Contain(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s is in %s: %v", address, network, got)
		}
	}
	f("::ffff:10.0.0.0/104", "10.1.2.3", true)
	f("::ffff:10.0.0.0/104", "11.1.2.3", false)
	f("::ffff:0.0.0.0/96", "11.1.2.3", true)
	f("::/0", "2001:db8::1", true)
	f("::/0", "11.1.2.3", false)
}

func TestParseNetworksRefuses(t *testing.T) {
	for _, bad := range []string{"", "10.0.0.0/33", "proxy.example", "10.0.0.1:80", "10.0.0.0/8 "} {
		if networks, err := ParseNetworks([]string{bad}); err == nil || !strings.Contains(err.Error(), "10.0.0.0/8") {
			t.Errorf("%q is %v, %v", bad, networks, err)
		}
	}
}

// FuzzAppend: whatever a trusted peer said, what is written are well-formed lines, one of each name, whose last
// address is the peer's and which every address before can be read from.
func FuzzAppend(f *testing.F) {
	f.Add("X-Forwarded-For: 1.1.1.1, [::1]:80, unknown, _x\r\nX-Forwarded-Proto: https\r\n")
	f.Add("X-Forwarded-For: ,a\r\nForwarded: for=\"[::1]:80\";by=_a, for=b\r\nForwarded: for=1.1.1.1\r\n")
	f.Add("Forwarded: FOR=unknown;host=\"a,b;c\"\r\nX-Forwarded-Host: a\r\nX-Forwarded-Host: b\r\n")
	f.Fuzz(func(t *testing.T, fields string) {
		request := parse(t, fields)
		written := string(Fields{X: true, Forwarded: true}.Append(nil, request, peer))
		var again wire.Request
		if err := again.Parse([]byte("GET / HTTP/1.1\r\nHost: h\r\n" + written + "\r\n")); err != nil || len(again.Fields) != 5 {
			t.Fatalf("%q became %q (%v)", fields, written, err)
		}
		for i, kind := range []wire.Kind{wire.ForwardedFor, wire.ForwardedProto, wire.ForwardedHost, wire.Forwarded} {
			if again.Fields[i+1].Kind != kind {
				t.Fatalf("%q became %q", fields, written)
			}
		}
		for element := range strings.SplitSeq(string(again.Fields[1].Value), ",") {
			if _, valid := parseNode([]byte(strings.TrimSpace(element))); !valid {
				t.Fatalf("%q became %q, with %q in it", fields, written, element)
			}
		}
		var last netip.Addr
		if !elements(again.Fields[4].Value, func(addr netip.Addr) { last = addr }) || last != peer.Addr {
			t.Fatalf("%q became %q", fields, written)
		}
		if anew := string(Fields{X: true, Forwarded: true}.Append(nil, &again, peer)); len(anew) <= len(written) {
			t.Fatalf("%q, passed on again, became %q", written, anew)
		}
	})
}
