package dns

import (
	"context"
	"math/rand/v2"
	"net"

	mdns "github.com/miekg/dns"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// udpReaders is how many packets are worked on at a time; others wait in the socket's buffer, and what
// does not fit there is lost, as UDP allows.
const udpReaders = 2

// serveUDP answers one packet after another.
func (s *Server) serveUDP(ctx context.Context) {
	buffer := make([]byte, packetMax)
	for {
		length, from, err := mdns.ReadFromSessionUDP(s.udp, buffer)
		if closed(ctx, err) {
			return
		}
		if err != nil {
			s.afterError(ctx, err)
			continue
		}
		answer := s.zone.Load().answer(buffer[:length], true, rand.Uint64())
		s.metrics.count("udp", answer)
		if answer.packet != nil {
			_, _ = mdns.WriteToSessionUDP(s.udp, answer.packet, from) // lost answers are asked for again
		}
	}
}

// tellSource has the socket tell at which of this machine's addresses a packet arrived, so that the answer
// leaves from there. Where that cannot be had, listen on one address and not on all.
func tellSource(conn *net.UDPConn) {
	_ = ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true)
	_ = ipv6.NewPacketConn(conn).SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)
}
