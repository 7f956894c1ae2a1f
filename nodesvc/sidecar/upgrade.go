package sidecar

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/tunnel"
	"github.com/stead-io/stead/nodesvc"
)

// tunnelCounts are of the connections that changed to another protocol.
type tunnelCounts struct {
	open  atomic.Int64
	total atomic.Uint64
}

// upgrading lets requests that ask for another protocol, such as WebSocket, have it from the service, and others go
// on to next. A tunnel stays within its slot: it ends before that leaves this node, and with the node.
func (s *Sidecar) upgrading(relay *httputil.ReverseProxy, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		offers := offersOf(r)
		if len(offers) == 0 {
			next.ServeHTTP(w, r)
			return
		}
		if r.ContentLength != 0 {
			api.NewProblem(api.CodeUpgrade, "a request with a body cannot change to %q", api.Clip(strings.Join(offers, ", "))).WriteTo(w)
			return
		}
		s.running.Add(1)
		defer s.running.Done()
		passage := &upgrade{sidecar: s, relay: relay, offers: offers}
		if err := s.hold(r, func(ctx context.Context) { passage.serve(w, r.WithContext(ctx)) }); err != nil {
			nodesvc.WriteError(w, r, err)
		}
		passage.part()
	})
}

// offersOf lists the protocols that a request asks for and may be given.
func offersOf(r *http.Request) []string {
	if r.ProtoMajor != 1 || r.ProtoMinor != 1 || !namesUpgrade(r.Header) {
		return nil
	}
	return tunnel.Offers(r.Header["Upgrade"]...)
}

// namesUpgrade reports whether Connection names Upgrade, without which that field means nothing.
func namesUpgrade(header http.Header) bool {
	for _, value := range header["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(textproto.TrimString(name), "Upgrade") {
				return true
			}
		}
	}
	return false
}

// hold keeps the slot of a request where it is; during is told when it must end. A request without a key is told
// when the sidecar stops.
func (s *Sidecar) hold(r *http.Request, during func(context.Context)) error {
	route, found := nodesvc.RouteOf(r.Context())
	if found {
		if s.config.Hooks {
			r.Header.Set(api.HeaderSlot, strconv.Itoa(int(route.Slot)))
		}
		return s.node.Hold(r.Context(), route.Key, during)
	}
	ctx, end := context.WithCancel(r.Context())
	defer end()
	s.running.Go(func() {
		defer end()
		select {
		case <-s.stopping:
		case <-ctx.Done():
		}
	})
	during(ctx)
	return nil
}

// upgrade is one request for another protocol, on its way through.
type upgrade struct {
	sidecar *Sidecar
	relay   *httputil.ReverseProxy
	offers  []string

	client net.Conn // once it was taken from the server
	tunnel *tunnel.Tunnel
}

// serve asks the service. What it answers is relayed as ever, unless it changes protocols: that is carried until it
// ends or the request's context does.
func (u *upgrade) serve(w http.ResponseWriter, r *http.Request) {
	relay := *u.relay
	relay.Transport = asking{upstream: u.sidecar.config.Upstream, offers: u.offers}
	relay.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
		agreed, ok := err.(*switched)
		if !ok {
			u.relay.ErrorHandler(w, r, err)
			return
		}
		if u.take(w, agreed) {
			u.carry(r.Context())
		}
	}
	relay.ServeHTTP(w, r)
}

// take makes a tunnel of the client's connection and the service's, what came early on either included.
func (u *upgrade) take(w http.ResponseWriter, agreed *switched) bool {
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = agreed.conn.Close()
		api.NewProblem(api.CodeUpgrade, "this connection cannot be upgraded").WriteTo(w)
		return false
	}
	u.client = client
	_ = cleanAnswer(agreed.answer)
	if agreed.answer.Write(client) != nil {
		_ = agreed.conn.Close()
		return false
	}
	early, _ := buffered.Reader.Peek(buffered.Reader.Buffered()) // no more than is there
	u.tunnel = tunnel.New(tunnel.Config{
		Client: tunnel.Side{Conn: client, Early: early}, Node: tunnel.Side{Conn: agreed.conn, Early: agreed.early()},
		Protocol: agreed.protocol, Idle: u.sidecar.config.TunnelIdle,
	})
	return true
}

func (u *upgrade) carry(ctx context.Context) {
	counts := &u.sidecar.tunnels
	counts.total.Add(1)
	counts.open.Add(1)
	defer counts.open.Add(-1)
	stop := context.AfterFunc(ctx, func() { u.tunnel.End(tunnel.Moved) })
	defer stop()
	u.tunnel.Run()
}

// part lets the client read why its tunnel ended. The slot does not wait for that.
func (u *upgrade) part() {
	if u.client == nil {
		return
	}
	if u.tunnel != nil {
		u.tunnel.Part()
	}
	_ = u.client.Close()
}
