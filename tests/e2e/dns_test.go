//go:build e2e

package e2e

import (
	"context"
	"net"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stead-io/stead/tests/cluster"
)

// dnsOutLimit is within which a proxy that was killed is out of the answers; resolvers may keep theirs
// for a TTL more.
const dnsOutLimit = time.Second

func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// dig runs dig against a member and returns what it printed.
func dig(t *testing.T, address string, args ...string) string {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	output, err := exec.Command("dig", append([]string{"@" + host, "-p", port, "+tries=1", "+time=5"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("dig %v: %v\n%s", args, err, output)
	}
	return string(output)
}

// goResolver is the resolver of Go programs, sent to one member.
func goResolver(address string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
}

// answered is the addresses that a member answers now, in order.
func answered(ctx context.Context, address string) string {
	found, err := goResolver(address).LookupNetIP(ctx, "ip4", "proxy.stead.")
	if err != nil {
		return err.Error()
	}
	var texts []string
	for _, ip := range found {
		texts = append(texts, ip.String())
	}
	slices.Sort(texts)
	return strings.Join(texts, " ")
}

// awaitAnswers waits until the members at those addresses all answer the same, and returns how long it took.
func awaitAnswers(c *cluster.Cluster, addresses []string, want string) time.Duration {
	return c.Await("DNS to answer "+want, func(ctx context.Context) bool {
		return !slices.ContainsFunc(addresses, func(address string) bool { return answered(ctx, address) != want })
	})
}

// answersStand fails the test if a member answers anything else for a while.
func answersStand(t *testing.T, addresses []string, want string, lasting time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(lasting); time.Now().Before(deadline); <-time.After(20 * time.Millisecond) {
		for _, address := range addresses {
			if got := answered(t.Context(), address); got != want {
				t.Fatalf("%s answers %s, not %s", address, got, want)
			}
		}
	}
}

// TestDNSAnswers: dig and Go's resolver get what an authoritative server owes them.
func TestDNSAnswers(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Members: 1, DNS: true})
	server := c.DNSAddrs[0]
	beatFor(t, c, "p11", "127.0.0.11:8080")
	beatFor(t, c, "p12", "127.0.0.12:8080")
	beatFor(t, c, "p13", "[fd00::13]:8080")
	beatFor(t, c, "edge", "edge.example.com:443")
	awaitAnswers(c, c.DNSAddrs, "127.0.0.11 127.0.0.12")
	f := func(query string, want ...string) {
		t.Helper()
		got := dig(t, server, strings.Fields(query)...)
		for _, text := range want {
			if !strings.Contains(got, text) {
				t.Errorf("dig %s lacks %q:\n%s", query, text, got)
			}
		}
	}
	f("proxy.stead A", "status: NOERROR", "flags: qr aa rd;", "ANSWER: 2,", "127.0.0.11", "127.0.0.12", "\t5\tIN\tA", "udp: 1232")
	f("proxy.stead A +tcp", "127.0.0.11", "127.0.0.12", "(TCP)")
	f("pRoXy.StEaD A +noedns", "pRoXy.StEaD.", "ANSWER: 2,", "ADDITIONAL: 0")
	f("proxy.stead AAAA +short", "fd00::13")
	f("_http._tcp.proxy.stead SRV", "ANSWER: 4,", "0 1 8080 p11.proxy.stead.", "0 1 443 edge.example.com.", "p11.proxy.stead.\t5\tIN\tA\t127.0.0.11")
	f("proxy.stead SRV", "ANSWER: 4,")
	f("p12.proxy.stead A +short", "127.0.0.12")
	f("proxy.stead SOA", "ANSWER: 1,", "hostmaster.proxy.stead.")
	f("proxy.stead NS", "c1.ns.proxy.stead.", "127.0.0.1")
	f("proxy.stead ANY +notcp", `HINFO	"RFC8482" ""`)
	f("proxy.stead MX", "status: NOERROR", "ANSWER: 0, AUTHORITY: 1,", "SOA")
	f("nobody.proxy.stead A", "status: NXDOMAIN", "AUTHORITY: 1,", "SOA")
	f("example.com A", "status: REFUSED", "ANSWER: 0")
	f("version.bind CH TXT", "status: REFUSED")
	f("proxy.stead AXFR", "Transfer failed")
	f("proxy.stead A +edns=1 +noednsneg", "status: BADVERS")
	f("proxy.stead A +ednsopt=65001:00", "status: NOERROR", "ANSWER: 2,")
	f("proxy.stead A +opcode=UPDATE", "status: NOTIMP")
	f("proxy.stead A +header-only", "status: FORMERR")
	f("proxy.stead A +dnssec", "flags: do; udp: 1232")

	_, services, err := goResolver(server).LookupSRV(t.Context(), "http", "tcp", "proxy.stead.")
	if err != nil || len(services) != 4 {
		t.Errorf("Go's resolver finds the services %v, %v", services, err)
	}
	metrics := string(must(t, "GET", "http://"+c.APIs[0]+"/metrics", nil).body)
	if want := `stead_dns_queries_total{rcode="NXDOMAIN",transport="udp",type="A"} 1`; !strings.Contains(metrics, want) {
		t.Errorf("the metrics lack %s", want)
	}
}

// beatFor beats for a proxy that is no process, until the test ends.
func beatFor(t *testing.T, c *cluster.Cluster, id, address string) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			_, _ = try(ctx, "POST", "http://"+c.APIs[0]+"/v1/proxies/"+id+"/beat", []byte(`{"address":"`+address+`"}`))
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
}

// TestDNSFollowsTheFleet: every member's answers follow proxies that are killed, drained and started;
// they outlive the leader, and the control plane's majority.
func TestDNSFollowsTheFleet(t *testing.T) {
	c := cluster.Start(t, cluster.Options{Members: 3, Proxies: 4, Nodes: 1, DNS: true})
	awaitAnswers(c, c.DNSAddrs, "127.0.0.11 127.0.0.12 127.0.0.13 127.0.0.14")

	c.Proxies[0].Kill()
	within(t, "kill -9 of a proxy to its end in every member's DNS", awaitAnswers(c, c.DNSAddrs, "127.0.0.12 127.0.0.13 127.0.0.14"), dnsOutLimit)
	c.Proxies[0].Start()
	within(t, "its return", awaitAnswers(c, c.DNSAddrs, "127.0.0.11 127.0.0.12 127.0.0.13 127.0.0.14"), cluster.Patience)

	// A proxy that drains is out at once, and serves on for its delay.
	c.Proxies[1].Stop()
	c.Proxies[1].Start(append(c.ProxyArgs(1), "--drain-delay", "3s")...)
	awaitAnswers(c, c.DNSAddrs, "127.0.0.11 127.0.0.12 127.0.0.13 127.0.0.14")
	c.AwaitProxy(1)
	begun := time.Now()
	c.Proxies[1].Signal(syscall.SIGTERM)
	within(t, "SIGTERM of a proxy to its end in every member's DNS", awaitAnswers(c, c.DNSAddrs, "127.0.0.11 127.0.0.13 127.0.0.14"), 500*time.Millisecond)
	if got := must(t, "PUT", kvURL(c.ProxyAddrs[1], []byte("late")), []byte("x")); got.status/100 != 2 {
		t.Errorf("while it drains: %d %s", got.status, got.body)
	}
	if code := c.Proxies[1].Ended(); code != 0 || time.Since(begun) < 3*time.Second {
		t.Errorf("it ended with %d after %v", code, time.Since(begun))
	}

	// The leader is killed: the others answer as before, all the time, and follow the fleet again.
	leader := c.Leader()
	left := slices.Delete(slices.Clone(c.DNSAddrs), leader, leader+1)
	c.Members[leader].Kill()
	answersStand(t, left, "127.0.0.11 127.0.0.13 127.0.0.14", 3*time.Second)
	c.Proxies[2].Kill()
	within(t, "kill -9 of a proxy under the new leader", awaitAnswers(c, left, "127.0.0.11 127.0.0.14"), dnsOutLimit)

	// All die: fewer than half live, so all that did not leave are answered.
	c.Proxies[0].Kill()
	c.Proxies[3].Kill()
	awaitAnswers(c, left, "127.0.0.11 127.0.0.13 127.0.0.14")
	if metrics := string(must(t, "GET", "http://"+c.APIs[(leader+1)%3]+"/metrics", nil).body); !strings.Contains(metrics, "stead_dns_fail_open 1") {
		t.Error("the metrics do not tell that DNS fails open")
	}
	c.Proxies[0].Start()
	c.Proxies[3].Start()
	awaitAnswers(c, left, "127.0.0.11 127.0.0.14")

	// The majority is lost: the last member answers what was known last, whatever dies.
	last := (leader + 1) % 3
	c.Members[(leader+2)%3].Kill()
	c.Proxies[3].Kill()
	answersStand(t, c.DNSAddrs[last:last+1], "127.0.0.11 127.0.0.14", 2*time.Second)
	if got := dig(t, c.DNSAddrs[last], "proxy.stead", "A", "+tcp", "+short"); !strings.Contains(got, "127.0.0.11") {
		t.Errorf("dig over TCP without a majority: %s", got)
	}
}
