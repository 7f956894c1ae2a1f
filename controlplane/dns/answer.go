package dns

import (
	"encoding/binary"
	"math/rand/v2"

	mdns "github.com/miekg/dns"
)

// Sizes, in octets.
const (
	headerSize = 12
	packetMax  = 65535
	// plainMax is what may be sent over UDP to who does not say what it takes (RFC 1035).
	plainMax = 512
	// udpMax is what is sent over UDP at most, whatever is taken: larger packets are broken into
	// fragments, which get lost and can be forged (RFC 9715).
	udpMax = 1232
	// addressMin is the least a record takes: an A record with a compressed name.
	addressMin = 16
)

// answersMax is how many records one answer holds at most; of more, each asker gets another selection.
// With their targets' addresses as many SRV records fit into a TCP answer.
const answersMax = 512

// rcodeDropped marks what is not answered at all.
const rcodeDropped = -1

// reply is an answer with what metrics tell of it.
type reply struct {
	packet []byte // nil: none
	kind   uint16 // the type asked for, 0 if that is not known
	rcode  int
}

// answer makes the answer to one packet. It may hold up to room octets, or over UDP what the asker
// takes. The seed decides about order and selection.
func (z *zone) answer(packet []byte, udp bool, seed uint64) reply {
	if len(packet) < headerSize || packet[2]&0x80 != 0 {
		return reply{rcode: rcodeDropped} // no message, or an answer: answering those would go on for ever
	}
	if rcode := checkHeader(packet); rcode != mdns.RcodeSuccess {
		return bare(packet, rcode)
	}
	var query mdns.Msg
	if query.Unpack(packet) != nil || !complete(&query, packet) {
		return bare(packet, mdns.RcodeFormatError)
	}
	options := query.IsEdns0()
	room := packetMax
	if udp {
		room = udpRoom(options)
	}
	response := new(mdns.Msg).SetReply(&query)
	question := query.Question[0]
	if options != nil && options.Version() != 0 {
		response.Rcode = mdns.RcodeBadVers
	} else {
		z.respond(response, question, min(room/addressMin, answersMax), udp, seed)
	}
	if options != nil {
		response.SetEdns0(udpMax, options.Do())
	}
	fit(response, room, udp)
	packed, err := response.Pack()
	if err != nil || len(packed) > room {
		return bare(packet, mdns.RcodeServerFailure)
	}
	return reply{packet: packed, kind: question.Qtype, rcode: response.Rcode}
}

// checkHeader refuses what is no query of one question. Only EDNS and a signature may follow it.
func checkHeader(packet []byte) (rcode int) {
	count := func(at int) uint16 { return binary.BigEndian.Uint16(packet[at:]) }
	switch {
	case packet[2]>>3&0xF != mdns.OpcodeQuery:
		return mdns.RcodeNotImplemented
	case count(4) != 1, count(6) != 0, count(8) > 1, count(10) > 2: // IXFR has a record of authority
		return mdns.RcodeFormatError
	default:
		return mdns.RcodeSuccess
	}
}

// complete reports whether all that the header counts is there, and EDNS at most once, at the root.
func complete(query *mdns.Msg, packet []byte) bool {
	if len(query.Question) != 1 || query.Question[0].Qtype == 0 || query.Question[0].Qclass == 0 {
		return false
	}
	if len(query.Extra) != int(binary.BigEndian.Uint16(packet[10:])) {
		return false
	}
	options := 0
	for _, record := range query.Extra {
		if header := record.Header(); header.Rrtype == mdns.TypeOPT {
			options++
			if header.Name != "." {
				return false
			}
		}
	}
	return options <= 1
}

// bare is an answer of a header alone, to what was not understood.
func bare(packet []byte, rcode int) reply {
	out := make([]byte, headerSize)
	copy(out, packet[:2])
	out[2] = 0x80 | packet[2]&0x79 // an answer; the same opcode, recursion as it was desired
	out[3] = byte(rcode)
	return reply{packet: out, rcode: rcode}
}

// udpRoom is how long an answer over UDP may be.
func udpRoom(options *mdns.OPT) int {
	if options == nil {
		return plainMax
	}
	return min(max(int(options.UDPSize()), plainMax), udpMax)
}

// respond fills the sections and the code of a response.
func (z *zone) respond(response *mdns.Msg, question mdns.Question, most int, udp bool, seed uint64) {
	name := canonical(question.Name)
	switch {
	case question.Qclass != mdns.ClassINET, !mdns.IsSubDomain(z.apex, name),
		question.Qtype == mdns.TypeAXFR, question.Qtype == mdns.TypeIXFR:
		response.Rcode = mdns.RcodeRefused
		return
	case !z.known:
		response.Rcode = mdns.RcodeServerFailure
		return
	}
	response.Authoritative = true
	at, exists := z.names[name]
	found := at[question.Qtype]
	switch {
	case !exists:
		response.Rcode = mdns.RcodeNameError
		response.Ns = []mdns.RR{mdns.Copy(z.soa)}
	case question.Qtype == mdns.TypeANY:
		response.Answer = []mdns.RR{z.minimal(question.Name)}
	case len(found) == 0:
		response.Ns = []mdns.RR{mdns.Copy(z.soa)}
	default:
		response.Answer = pick(found, question.Name, most, seed)
		response.Extra = z.glue(response.Answer)
		response.Truncated = udp && len(found) > most
	}
}

// minimal answers ANY with next to nothing (RFC 8482).
func (z *zone) minimal(name string) mdns.RR {
	return &mdns.HINFO{
		Hdr: mdns.RR_Header{Name: name, Rrtype: mdns.TypeHINFO, Class: mdns.ClassINET, Ttl: z.ttl},
		Cpu: "RFC8482",
	}
}

// pick copies at most so many records, under the name as it was asked for, in random order.
func pick(records []mdns.RR, name string, most int, seed uint64) []mdns.RR {
	random := rand.New(rand.NewPCG(seed, seed))
	first := random.IntN(len(records))
	picked := make([]mdns.RR, min(len(records), most))
	for i := range picked {
		picked[i] = mdns.Copy(records[(first+i)%len(records)])
		picked[i].Header().Name = name
	}
	random.Shuffle(len(picked), func(i, j int) { picked[i], picked[j] = picked[j], picked[i] })
	return picked
}

// glue is the addresses of the names that an answer leads to, as far as they are in the zone.
func (z *zone) glue(answers []mdns.RR) (extra []mdns.RR) {
	for _, record := range answers {
		var target string
		switch record := record.(type) {
		case *mdns.SRV:
			target = record.Target
		case *mdns.NS:
			target = record.Ns
		default:
			return nil
		}
		for _, kind := range []uint16{mdns.TypeA, mdns.TypeAAAA} {
			for _, address := range z.names[target][kind] {
				extra = append(extra, mdns.Copy(address))
			}
		}
	}
	return extra
}

// fit makes a response no longer than room: first without the glue, which can be asked for, then without
// some of the answers. Over UDP that sets TC: the whole is there over TCP.
func fit(response *mdns.Msg, room int, udp bool) {
	response.Compress = true
	if response.Len() <= room {
		return
	}
	options := response.IsEdns0()
	response.Extra = nil
	if options != nil {
		response.Extra = []mdns.RR{options}
	}
	if response.Len() > room {
		response.Truncate(room)
		response.Truncated = udp
	}
	response.Compress = true
}
