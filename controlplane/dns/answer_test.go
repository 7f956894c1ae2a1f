package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/stead-io/stead/api"
)

// fleet writes a roster down as "<id>@<address>=<status> ...".
func fleet(text string) *api.Roster {
	roster := &api.Roster{Mark: api.RosterMark{Term: 2, Number: 7}}
	for item := range strings.FieldsSeq(text) {
		id, rest, _ := strings.Cut(item, "@")
		address, status, _ := strings.Cut(rest, "=")
		roster.Proxies = append(roster.Proxies, api.RosterItem{ID: api.ProxyID(id), Address: address, Status: status})
	}
	return roster
}

func many(count int) *api.Roster {
	roster := fleet("")
	first := netip.MustParseAddr("10.0.0.1")
	for i := range count {
		roster.Proxies = append(roster.Proxies, api.RosterItem{
			ID: api.ProxyID(fmt.Sprintf("proxy-%05d", i)), Address: first.String() + ":80", Status: api.ProxyUp,
		})
		first = first.Next()
	}
	return roster
}

var servers = []Nameserver{{Name: "c1", Host: "127.0.0.1"}, {Name: "c2", Host: "::1"}, {Name: "c3", Host: "ns.example.com"}}

func zoneOf(roster *api.Roster) *zone { return newZone(NewSettings(), roster, servers) }

// ask packs a question, has it answered over TCP and unpacks the answer.
func ask(t *testing.T, z *zone, query *mdns.Msg, udp bool) *mdns.Msg {
	t.Helper()
	packet, err := query.Pack()
	if err != nil {
		t.Fatal(err)
	}
	got := z.answer(packet, udp, 1)
	if got.packet == nil {
		return nil
	}
	var response mdns.Msg
	if err := response.Unpack(got.packet); err != nil {
		t.Fatalf("the answer to %v cannot be read: %v", query.Question, err)
	}
	return &response
}

func question(name string, kind uint16) *mdns.Msg { return new(mdns.Msg).SetQuestion(name, kind) }

// outline writes a response in one line, its records sorted: the code, and each section's records.
func outline(response *mdns.Msg) string {
	if response == nil {
		return "dropped"
	}
	words := []string{rcodeName(response.Rcode)}
	if response.Authoritative {
		words = append(words, "aa")
	}
	if response.Truncated {
		words = append(words, "tc")
	}
	text := strings.Join(words, " ")
	for _, section := range [][]mdns.RR{response.Answer, response.Ns, response.Extra} {
		var records []string
		for _, record := range section {
			fields := strings.Fields(strings.ReplaceAll(record.String(), "\t", " "))
			switch record.(type) {
			case *mdns.OPT:
				continue
			case *mdns.SOA:
				fields = append(fields[:1], fields[3]) // its numbers have a test of their own
			default:
				fields = append(fields[:1], fields[3:]...)
			}
			records = append(records, strings.Join(fields, " "))
		}
		slices.Sort(records)
		text += " | " + strings.Join(records, ", ")
	}
	return strings.TrimRight(text, " |")
}

func TestAnswers(t *testing.T) {
	z := zoneOf(fleet("p1@127.0.0.11:80=up p2@127.0.0.12:81=up p3@127.0.0.13:80=down p4@127.0.0.14:80=draining " +
		"p6@[fd00::6]:80=up named@edge.example.com:443=up Odd_Name.x@127.0.0.15:80=up"))
	f := func(name string, kind uint16, want string) {
		t.Helper()
		if got := outline(ask(t, z, question(name, kind), false)); got != want {
			t.Errorf("%s %s:\n got %s\nwant %s", name, mdns.TypeToString[kind], got, want)
		}
	}
	const soa = " |  | proxy.stead. SOA"
	odd := label("Odd_Name.x", func(string) bool { return false }) + ".proxy.stead."

	f("proxy.stead.", mdns.TypeA, "NOERROR aa | proxy.stead. A 127.0.0.11, proxy.stead. A 127.0.0.12, proxy.stead. A 127.0.0.15")
	f("proxy.stead.", mdns.TypeAAAA, "NOERROR aa | proxy.stead. AAAA fd00::6")
	f("PrOxY.sTeAd.", mdns.TypeAAAA, "NOERROR aa | PrOxY.sTeAd. AAAA fd00::6")
	services := "NOERROR aa | NAME SRV 0 1 443 edge.example.com., NAME SRV 0 1 80 " + odd + ", NAME SRV 0 1 80 p1.proxy.stead., " +
		"NAME SRV 0 1 80 p6.proxy.stead., NAME SRV 0 1 81 p2.proxy.stead. |  | " +
		odd + " A 127.0.0.15, p1.proxy.stead. A 127.0.0.11, p2.proxy.stead. A 127.0.0.12, p6.proxy.stead. AAAA fd00::6"
	f("_http._tcp.proxy.stead.", mdns.TypeSRV, strings.ReplaceAll(services, "NAME", "_http._tcp.proxy.stead."))
	f("proxy.stead.", mdns.TypeSRV, strings.ReplaceAll(services, "NAME", "proxy.stead."))
	f("p1.proxy.stead.", mdns.TypeA, "NOERROR aa | p1.proxy.stead. A 127.0.0.11")
	f("P3.proxy.stead.", mdns.TypeA, "NOERROR aa | P3.proxy.stead. A 127.0.0.13")
	f("p4.proxy.stead.", mdns.TypeA, "NOERROR aa | p4.proxy.stead. A 127.0.0.14")
	f(odd, mdns.TypeA, "NOERROR aa | "+odd+" A 127.0.0.15")
	f("proxy.stead.", mdns.TypeNS, "NOERROR aa | proxy.stead. NS c1.ns.proxy.stead., proxy.stead. NS c2.ns.proxy.stead., "+
		"proxy.stead. NS ns.example.com. |  | c1.ns.proxy.stead. A 127.0.0.1, c2.ns.proxy.stead. AAAA ::1")
	f("c1.ns.proxy.stead.", mdns.TypeA, "NOERROR aa | c1.ns.proxy.stead. A 127.0.0.1")
	f("proxy.stead.", mdns.TypeSOA, "NOERROR aa | proxy.stead. SOA")
	f("proxy.stead.", mdns.TypeANY, `NOERROR aa | proxy.stead. HINFO "RFC8482" ""`)

	f("proxy.stead.", mdns.TypeMX, "NOERROR aa"+soa)
	f("proxy.stead.", mdns.TypeDS, "NOERROR aa"+soa)
	f("p1.proxy.stead.", mdns.TypeAAAA, "NOERROR aa"+soa)
	f("_tcp.proxy.stead.", mdns.TypeA, "NOERROR aa"+soa)
	f("ns.proxy.stead.", mdns.TypeA, "NOERROR aa"+soa)
	f("_http._tcp.proxy.stead.", mdns.TypeA, "NOERROR aa"+soa)
	f("nobody.proxy.stead.", mdns.TypeA, "NXDOMAIN aa"+soa)
	f("named.proxy.stead.", mdns.TypeA, "NXDOMAIN aa"+soa)
	f("a.p1.proxy.stead.", mdns.TypeANY, "NXDOMAIN aa"+soa)
	f(`p1\.proxy.stead.`, mdns.TypeA, "REFUSED") // one label that looks like two
	f(`x\.p1.proxy.stead.`, mdns.TypeA, "NXDOMAIN aa"+soa)

	f("example.com.", mdns.TypeA, "REFUSED")
	f("stead.", mdns.TypeNS, "REFUSED")
	f("otherproxy.stead.", mdns.TypeA, "REFUSED")
	f(".", mdns.TypeNS, "REFUSED")
	f("proxy.stead.", mdns.TypeAXFR, "REFUSED")
	f("proxy.stead.", mdns.TypeIXFR, "REFUSED")
}

func TestChoice(t *testing.T) {
	f := func(mode Mode, roster, want string, wantOpen bool) {
		t.Helper()
		chosen, open := choose(fleet(roster).Proxies, mode)
		var ids []string
		for _, proxy := range chosen {
			ids = append(ids, string(proxy.ID))
		}
		if got := strings.Join(ids, " "); got != want || open != wantOpen {
			t.Errorf("%s of %q: got %q, open %v; want %q, %v", mode, roster, got, open, want, wantOpen)
		}
	}
	f(ModeHealthy, "", "", false)
	f(ModeHealthy, "a@A=up b@B=up", "a b", false)
	f(ModeHealthy, "a@A=up b@B=down", "a", false)
	f(ModeHealthy, "a@A=up b@B=down c@C=down", "a b c", true)
	f(ModeHealthy, "a@A=up b@B=down c@C=draining", "a", false)
	f(ModeHealthy, "a@A=down b@B=down c@C=draining", "a b", true)
	f(ModeHealthy, "a@A=draining", "", false)
	f(ModeAll, "a@A=up b@B=down c@C=draining", "a b", false)
}

func TestLabels(t *testing.T) {
	f := func(id string, taken bool, want string) {
		t.Helper()
		got := label(id, func(string) bool { return taken })
		if got != want || !plain(got) {
			t.Errorf("label(%q) = %q, want %q", id, got, want)
		}
	}
	f("p1", false, "p1")
	f("P1", false, "p1")
	f("P1", true, "p1-fbeae7c1")
	f("a.b_c", false, "a-b-c-5b8f934a")
	f("x-", false, "x-c8b60efc")
	f(strings.Repeat("y", 64), false, strings.Repeat("y", hashedMax)+"-ffbf30ab")
}

// TestCaseApart: two proxies whose ids differ in case alone keep apart, and one called ns takes nobody's
// name.
func TestCaseApart(t *testing.T) {
	z := zoneOf(fleet("P1@127.0.0.11:80=up p1@127.0.0.12:80=up ns@127.0.0.13:80=up"))
	targets := map[string]bool{}
	for _, record := range ask(t, z, question("proxy.stead.", mdns.TypeSRV), false).Answer {
		target := record.(*mdns.SRV).Target
		targets[target] = true
		if answers := ask(t, z, question(target, mdns.TypeA), false).Answer; len(answers) != 1 {
			t.Errorf("%s has %d addresses", target, len(answers))
		}
	}
	if len(targets) != 3 || targets["ns.proxy.stead."] {
		t.Errorf("got %v", targets)
	}
}

func TestSOA(t *testing.T) {
	soa := ask(t, zoneOf(fleet("")), question("nobody.proxy.stead.", mdns.TypeA), false).Ns[0].(*mdns.SOA)
	if soa.Hdr.Ttl != 5 || soa.Minttl != 5 || soa.Serial != 2<<16+7 || soa.Ns != "c1.ns.proxy.stead." || soa.Mbox != "hostmaster.proxy.stead." {
		t.Errorf("got %v", soa)
	}
}

// TestNothingKnown: before the first roster no name is said not to exist.
func TestNothingKnown(t *testing.T) {
	z := zoneOf(nil)
	f := func(name string, want int) {
		t.Helper()
		if got := ask(t, z, question(name, mdns.TypeA), false); got.Rcode != want || got.Authoritative {
			t.Errorf("%s: got %s", name, outline(got))
		}
	}
	f("proxy.stead.", mdns.RcodeServerFailure)
	f("nobody.proxy.stead.", mdns.RcodeServerFailure)
	f("example.com.", mdns.RcodeRefused)
}

func TestEDNS(t *testing.T) {
	z := zoneOf(fleet("p1@127.0.0.11:80=up"))
	with := func(edit func(*mdns.Msg, *mdns.OPT)) *mdns.Msg {
		query := question("proxy.stead.", mdns.TypeA).SetEdns0(4096, false)
		edit(query, query.IsEdns0())
		return query
	}
	f := func(name string, query *mdns.Msg, rcode int, check func(*mdns.OPT) bool) {
		t.Helper()
		response := ask(t, z, query, true)
		if options := response.IsEdns0(); response.Rcode != rcode || !check(options) {
			t.Errorf("%s: got %s, EDNS %v", name, outline(response), options)
		}
	}
	none := func(options *mdns.OPT) bool { return options == nil }
	plainOptions := func(options *mdns.OPT) bool {
		return options != nil && options.Version() == 0 && options.UDPSize() == udpMax && len(options.Option) == 0
	}
	f("none", question("proxy.stead.", mdns.TypeA), mdns.RcodeSuccess, none)
	f("plain", with(func(*mdns.Msg, *mdns.OPT) {}), mdns.RcodeSuccess, plainOptions)
	f("DO", with(func(_ *mdns.Msg, options *mdns.OPT) { options.SetDo() }), mdns.RcodeSuccess,
		func(options *mdns.OPT) bool { return plainOptions(options) && options.Do() })
	f("version 1", with(func(_ *mdns.Msg, options *mdns.OPT) { options.SetVersion(1) }), mdns.RcodeBadVers, plainOptions)
	f("unknown option", with(func(_ *mdns.Msg, options *mdns.OPT) {
		options.Option = append(options.Option, &mdns.EDNS0_LOCAL{Code: 65001, Data: []byte("x")})
	}), mdns.RcodeSuccess, plainOptions)
	f("cookie", with(func(_ *mdns.Msg, options *mdns.OPT) {
		options.Option = append(options.Option, &mdns.EDNS0_COOKIE{Code: mdns.EDNS0COOKIE, Cookie: "0102030405060708"})
	}), mdns.RcodeSuccess, plainOptions)
	f("twice", with(func(query *mdns.Msg, options *mdns.OPT) { query.Extra = append(query.Extra, options) }), mdns.RcodeFormatError, none)
	f("not at the root", with(func(_ *mdns.Msg, options *mdns.OPT) { options.Hdr.Name = "x." }), mdns.RcodeFormatError, none)
}

func TestWhatIsNoQuery(t *testing.T) {
	z := zoneOf(fleet("p1@127.0.0.11:80=up"))
	good, err := question("proxy.stead.", mdns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	f := func(name string, packet []byte, want int) {
		t.Helper()
		got := z.answer(packet, true, 1)
		if got.rcode != want || (got.packet == nil) != (want == rcodeDropped) {
			t.Errorf("%s: got %s", name, rcodeName(got.rcode))
		}
		if got.packet != nil && (string(got.packet[:2]) != string(packet[:2]) || got.packet[2]&0x80 == 0) {
			t.Errorf("%s: got the header %x", name, got.packet[:12])
		}
	}
	edited := func(at int, value byte) []byte {
		packet := slices.Clone(good)
		packet[at] = value
		return packet
	}
	f("good", good, mdns.RcodeSuccess)
	f("empty", nil, rcodeDropped)
	f("short", good[:11], rcodeDropped)
	f("an answer", edited(2, 0x81), rcodeDropped)
	f("header alone", good[:12], mdns.RcodeFormatError)
	f("cut in the name", good[:20], mdns.RcodeFormatError)
	f("cut in the type", good[:len(good)-3], mdns.RcodeFormatError)
	f("cut in the class", good[:len(good)-1], mdns.RcodeFormatError)
	f("no question", edited(5, 0), mdns.RcodeFormatError)
	f("two questions", edited(5, 2), mdns.RcodeFormatError)
	f("an answer in it", edited(7, 1), mdns.RcodeFormatError)
	f("a missing record", edited(11, 1), mdns.RcodeFormatError)
	f("many records", edited(11, 9), mdns.RcodeFormatError)
	f("name that points at itself", append(edited(12, 0xC0)[:13], 12, 0, 1, 0, 1), mdns.RcodeFormatError)
	for _, opcode := range []byte{mdns.OpcodeIQuery, mdns.OpcodeStatus, mdns.OpcodeNotify, mdns.OpcodeUpdate, 15} {
		f(fmt.Sprintf("opcode %d", opcode), edited(2, opcode<<3), mdns.RcodeNotImplemented)
	}
	chaos := question("version.bind.", mdns.TypeTXT)
	chaos.Question[0].Qclass = mdns.ClassCHAOS
	packet, err := chaos.Pack()
	if err != nil {
		t.Fatal(err)
	}
	f("class CH", packet, mdns.RcodeRefused)
	f("class ANY", edited(len(good)-1, mdns.ClassANY), mdns.RcodeRefused)
}

// TestTruncation: what does not fit over UDP sets TC and is whole over TCP.
func TestTruncation(t *testing.T) {
	f := func(proxies int, kind uint16, size uint16, udp bool, wantTC bool, least, most int) {
		t.Helper()
		query := question("proxy.stead.", kind)
		if size > 0 {
			query.SetEdns0(size, false)
		}
		response := ask(t, zoneOf(many(proxies)), query, udp)
		if count := len(response.Answer); response.Truncated != wantTC || count < least || count > most {
			t.Errorf("%d proxies, %s, size %d, UDP %v: %d answers, TC %v", proxies, mdns.TypeToString[kind], size, udp, count, response.Truncated)
		}
	}
	f(20, mdns.TypeA, 0, true, false, 20, 20)
	f(100, mdns.TypeA, 0, true, true, 25, 31)
	f(70, mdns.TypeA, 4096, true, false, 70, 70)
	f(100, mdns.TypeA, 4096, true, true, 70, 77)
	f(100, mdns.TypeA, 1, true, true, 25, 31)
	f(100, mdns.TypeA, 0, false, false, 100, 100)
	f(10, mdns.TypeSRV, 0, true, false, 10, 10) // without the glue
	f(100, mdns.TypeSRV, 1232, true, true, 20, 30)
	f(100, mdns.TypeSRV, 0, false, false, 100, 100)
	f(10_000, mdns.TypeA, 0, false, false, answersMax, answersMax)
	f(10_000, mdns.TypeSRV, 0, false, false, answersMax, answersMax)
	f(10_000, mdns.TypeA, 4096, true, true, 70, 77)
}

// TestTurns: over many questions every proxy comes first about as often.
func TestTurns(t *testing.T) {
	z := zoneOf(many(1000))
	packet, err := question("proxy.stead.", mdns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	first := map[string]int{}
	const asked = 20_000
	for seed := range uint64(asked) {
		var response mdns.Msg
		if err := response.Unpack(z.answer(packet, true, seed).packet); err != nil {
			t.Fatal(err)
		}
		first[response.Answer[0].(*mdns.A).A.String()]++
	}
	for address, count := range first {
		if count > 6*asked/1000 {
			t.Errorf("%s came first %d times of %d", address, count, asked)
		}
	}
	if len(first) < 990 {
		t.Errorf("only %d of 1000 ever came first", len(first))
	}
}

func BenchmarkAnswer(b *testing.B) {
	for _, proxies := range []int{3, 50} {
		z := zoneOf(many(proxies))
		packet, err := question("proxy.stead.", mdns.TypeA).SetEdns0(1232, false).Pack()
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprint(proxies), func(b *testing.B) {
			b.ReportAllocs()
			for seed := uint64(0); b.Loop(); seed++ {
				z.answer(packet, true, seed)
			}
		})
	}
}

func FuzzAnswer(f *testing.F) {
	zones := []*zone{zoneOf(fleet("p1@127.0.0.11:80=up p6@[fd00::6]:80=up n@x.example:1=up")), zoneOf(many(600)), zoneOf(nil)}
	for _, kind := range []uint16{mdns.TypeA, mdns.TypeSRV, mdns.TypeSOA, mdns.TypeANY} {
		for _, name := range []string{"proxy.stead.", "_http._tcp.proxy.stead.", "nobody.proxy.stead.", "example.com."} {
			packet, err := question(name, kind).SetEdns0(1232, true).Pack()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(packet, true, uint64(1))
			f.Add(packet, false, uint64(2))
		}
	}
	f.Fuzz(func(t *testing.T, packet []byte, udp bool, seed uint64) {
		for _, z := range zones {
			got := z.answer(packet, udp, seed)
			if got.packet == nil {
				if got.rcode != rcodeDropped {
					t.Fatalf("no answer, but %d", got.rcode)
				}
				continue
			}
			if len(got.packet) < headerSize || string(got.packet[:2]) != string(packet[:2]) || got.packet[2]&0x80 == 0 {
				t.Fatalf("%x is no answer to %x", got.packet, packet)
			}
			if most := map[bool]int{true: udpMax, false: packetMax}[udp]; len(got.packet) > most {
				t.Fatalf("%d octets", len(got.packet))
			}
			if err := new(mdns.Msg).Unpack(got.packet); err != nil {
				t.Fatalf("the answer cannot be read: %v", err)
			}
		}
	})
}
