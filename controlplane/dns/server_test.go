package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source is a roster that a test changes.
type source struct {
	mu      sync.Mutex
	roster  *api.Roster
	changed chan struct{}
}

func newSource(roster *api.Roster) *source {
	return &source{roster: roster, changed: make(chan struct{})}
}

func (s *source) Roster() *api.Roster {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.roster
}

func (s *source) RosterChanged() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *source) Nameservers() []Nameserver { return servers }

func (s *source) become(roster *api.Roster) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roster = roster
	close(s.changed)
	s.changed = make(chan struct{})
}

// serve runs a server until the test ends.
func serve(t *testing.T, from *source) *Server {
	t.Helper()
	settings := NewSettings()
	settings.Listen = "127.0.0.1:0"
	return serveAt(t, from, settings)
}

func serveAt(t *testing.T, from *source, settings Settings) *Server {
	t.Helper()
	server, err := Listen(Config{Settings: settings, Source: from, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		server.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	return server
}

// resolver is Go's own, sent to the server over one network; "": over those it chooses.
func resolver(server *Server, network string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, asked, _ string) (net.Conn, error) {
		if network != "" {
			asked = network
		}
		return new(net.Dialer).DialContext(ctx, asked, server.Addr())
	}}
}

func awaitAddresses(t *testing.T, resolver *net.Resolver, want string) {
	t.Helper()
	var got string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
		addresses, err := resolver.LookupNetIP(t.Context(), "ip", "proxy.stead.")
		var texts []string
		for _, address := range addresses {
			texts = append(texts, address.String())
		}
		slices.Sort(texts)
		if got = strings.Join(texts, " "); got == want && (err == nil || want == "") {
			return
		}
	}
	t.Fatalf("got %q, want %q", got, want)
}

// TestGoResolver: the resolver of Go programs finds all there is to find.
func TestGoResolver(t *testing.T) {
	from := newSource(fleet("p1@127.0.0.11:8080=up p2@127.0.0.12:8080=up p6@[fd00::6]:8080=up"))
	server := serve(t, from)
	for _, network := range []string{"udp", "tcp"} {
		asked := resolver(server, network)
		awaitAddresses(t, asked, "127.0.0.11 127.0.0.12 fd00::6")
		_, services, err := asked.LookupSRV(t.Context(), "http", "tcp", "proxy.stead.")
		if err != nil || len(services) != 3 || services[0].Port != 8080 {
			t.Errorf("%s: SRV gives %v, %v", network, services, err)
		}
		nameservers, err := asked.LookupNS(t.Context(), "proxy.stead.")
		if err != nil || len(nameservers) != len(servers) {
			t.Errorf("%s: NS gives %v, %v", network, nameservers, err)
		}
		var missing *net.DNSError
		if _, err := asked.LookupHost(t.Context(), "nobody.proxy.stead."); !errors.As(err, &missing) || !missing.IsNotFound {
			t.Errorf("%s: an unknown name gives %v", network, err)
		}
		if _, err := asked.LookupHost(t.Context(), "example.com."); err == nil {
			t.Errorf("%s: a name out of the zone was answered", network)
		}
	}
}

// TestRosterChanges: what the roster says is answered as soon as it says it.
func TestRosterChanges(t *testing.T) {
	from := newSource(nil)
	server := serve(t, from)
	asked := resolver(server, "udp")
	if _, err := asked.LookupHost(t.Context(), "proxy.stead."); err == nil {
		t.Fatal("answered without a roster")
	}
	f := func(roster, want string) {
		t.Helper()
		from.become(fleet(roster))
		awaitAddresses(t, asked, want)
	}
	f("p1@127.0.0.11:80=up p2@127.0.0.12:80=up", "127.0.0.11 127.0.0.12")
	f("p1@127.0.0.11:80=up p2@127.0.0.12:80=down", "127.0.0.11")
	f("p1@127.0.0.11:80=down p2@127.0.0.12:80=down", "127.0.0.11 127.0.0.12")
	f("p1@127.0.0.11:80=up p2@127.0.0.12:80=draining", "127.0.0.11")
	f("", "")
}

// TestHundredProxies: over UDP a resolver is told to come again over TCP, and finds all of them there.
func TestHundredProxies(t *testing.T) {
	server := serve(t, newSource(many(100)))
	awaitCount := func(network string) {
		t.Helper()
		addresses, err := resolver(server, network).LookupNetIP(t.Context(), "ip4", "proxy.stead.")
		if err != nil || len(addresses) != 100 {
			t.Fatalf("%s gives %d addresses, %v", network, len(addresses), err)
		}
		if !slices.Contains(addresses, netip.MustParseAddr("10.0.0.100")) {
			t.Fatal("one is missing")
		}
	}
	awaitZone(t, server)
	awaitCount("")
	awaitCount("tcp")
	client := mdns.Client{UDPSize: 1232}
	response, _, err := client.Exchange(question("proxy.stead.", mdns.TypeA).SetEdns0(1232, false), server.Addr())
	if err != nil || !response.Truncated || response.IsEdns0() == nil {
		t.Fatalf("EDNS over UDP: %v, %v", response, err)
	}
}

func awaitZone(t *testing.T, server *Server) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !server.zone.Load().known; <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain for the zone")
		}
	}
}

// TestAnswersFromWhereItWasAsked: a server on all addresses answers from the one that was asked; from
// another the asker would not take it.
func TestAnswersFromWhereItWasAsked(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the loopback interface has one address here")
	}
	settings := NewSettings()
	settings.Listen, settings.Security = "0.0.0.0:0", transport.Security{Insecure: true}
	server := serveAt(t, newSource(fleet("p1@127.0.0.11:80=up")), settings)
	awaitZone(t, server)
	_, port, err := net.SplitHostPort(server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "127.0.0.5"} {
		response, err := mdns.Exchange(question("proxy.stead.", mdns.TypeA), net.JoinHostPort(host, port))
		if err != nil || len(response.Answer) != 1 {
			t.Errorf("%s answers %v, %v", host, response, err)
		}
	}
}

// TestGarbage: whatever comes in on either socket, the next one is answered.
func TestGarbage(t *testing.T) {
	server := serve(t, newSource(fleet("p1@127.0.0.11:80=up")))
	awaitZone(t, server)
	for i, garbage := range []string{"", "x", strings.Repeat("\xff", 600), strings.Repeat("\x00", 12), "GET / HTTP/1.1\r\n\r\n", strings.Repeat("\x00\x01", 6) + strings.Repeat("\xc0\x0c", 99)} {
		for _, network := range []string{"udp", "tcp"} {
			conn, err := net.Dial(network, server.Addr())
			if err != nil {
				t.Fatal(err)
			}
			if network == "tcp" && i%2 == 0 {
				_, _ = conn.Write(binary.BigEndian.AppendUint16(nil, uint16(len(garbage))))
			}
			_, _ = io.WriteString(conn, garbage)
			_ = conn.Close()
		}
	}
	awaitAddresses(t, resolver(server, "udp"), "127.0.0.11")
	awaitAddresses(t, resolver(server, "tcp"), "127.0.0.11")
}

// TestPipelined: many queries on one connection, sent at once, are all answered.
func TestPipelined(t *testing.T) {
	server := serve(t, newSource(fleet("p1@127.0.0.11:80=up")))
	awaitZone(t, server)
	conn, err := net.Dial("tcp", server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	packet, err := question("proxy.stead.", mdns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	const queries = 50
	for range queries {
		if err := writeFramed(conn, packet); err != nil {
			t.Fatal(err)
		}
	}
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	for i := range queries {
		if answer, err := readFramed(conn, nil); err != nil || len(answer) <= len(packet) {
			t.Fatalf("answer %d: %x, %v", i, answer, err)
		}
	}
}

// TestConnectionsMax: past the limit connections are closed, and room is made when others end.
func TestConnectionsMax(t *testing.T) {
	server := serve(t, newSource(fleet("p1@127.0.0.11:80=up")))
	awaitZone(t, server)
	var idle []net.Conn
	for range connectionsMax {
		conn, err := net.Dial("tcp", server.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		idle = append(idle, conn)
	}
	asked := mdns.Client{Net: "tcp", Timeout: time.Second}
	if _, _, err := asked.Exchange(question("proxy.stead.", mdns.TypeA), server.Addr()); err == nil {
		t.Fatalf("connection %d was served", connectionsMax+1)
	}
	_ = idle[0].Close()
	for deadline := time.Now().Add(10 * time.Second); ; <-time.After(5 * time.Millisecond) {
		if _, _, err := asked.Exchange(question("proxy.stead.", mdns.TypeA), server.Addr()); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestMetrics(t *testing.T) {
	from := newSource(fleet("p1@127.0.0.11:80=up"))
	server := serve(t, from)
	awaitZone(t, server)
	registry := prometheus.NewRegistry()
	registry.MustRegister(server.Collectors()...)
	for _, kind := range []uint16{mdns.TypeA, mdns.TypeA, mdns.TypeLOC} {
		if _, err := mdns.Exchange(question("proxy.stead.", kind), server.Addr()); err != nil {
			t.Fatal(err)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, family := range families {
		for _, metric := range family.Metric {
			value := metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
			line := fmt.Sprintf("%s %v", family.GetName(), value)
			for _, label := range metric.Label {
				line += " " + label.GetValue()
			}
			got = append(got, line)
		}
	}
	want := []string{"stead_dns_fail_open 0", "stead_dns_queries_total 2 NOERROR udp A", "stead_dns_queries_total 1 NOERROR udp other"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSettings(t *testing.T) {
	f := func(name string, edit func(*Settings), ok bool) {
		t.Helper()
		settings := NewSettings()
		edit(&settings)
		if err := settings.Validate(); (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	f("defaults", func(*Settings) {}, true)
	f("no last dot", func(s *Settings) { s.Zone = "Proxy.Example.com" }, true)
	f("root", func(s *Settings) { s.Zone = "." }, false)
	f("empty", func(s *Settings) { s.Zone = "" }, false)
	f("empty label", func(s *Settings) { s.Zone = "a..b" }, false)
	f("escape", func(s *Settings) { s.Zone = `a\.b` }, false)
	f("too long", func(s *Settings) { s.Zone = strings.Repeat("abc.", 60) }, false)
	f("mode", func(s *Settings) { s.Mode = "some" }, false)
	f("ttl 0", func(s *Settings) { s.TTL = 0 }, true)
	f("ttl below 0", func(s *Settings) { s.TTL = -time.Second }, false)
	f("ttl no whole second", func(s *Settings) { s.TTL = 1500 * time.Millisecond }, false)
	f("loopback", func(s *Settings) { s.Listen = "127.0.0.1:0" }, true)
	f("everywhere", func(s *Settings) { s.Listen = "0.0.0.0:53" }, false)
	f("everywhere, told to", func(s *Settings) { s.Listen, s.Security = "0.0.0.0:53", transport.Security{Insecure: true} }, true)
	f("no port", func(s *Settings) { s.Listen = "127.0.0.1" }, false)
}
