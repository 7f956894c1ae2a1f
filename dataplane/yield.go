package dataplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/transport"
)

// errRingless keeps a proxy that could only refuse from taking the place of one that serves.
var errRingless = errors.New("there is no ring, from the control plane or from disk, to take another proxy's place with")

// Predecessor is a proxy, of another process, whose place this one takes.
type Predecessor struct {
	// ID is its name in the fleet, and this one's.
	ID api.ProxyID
	// Clients and Admin are its listening sockets; Open closes the files.
	Clients, Admin *os.File
}

func (p *Predecessor) close() {
	_ = p.Clients.Close()
	_ = p.Admin.Close()
}

// listen opens the two ports, or adopts those of the predecessor.
func (p *Proxy) listen() (public, admin net.Listener, err error) {
	beneath := p.config.Trail.beneath(p)
	if before := p.config.Predecessor; before != nil {
		defer before.close()
		public, err = p.config.SecurityClients.AdoptFor(before.Clients, transport.Callers{}, beneath...)
		if err == nil {
			admin, err = p.config.Security.AdoptFor(before.Admin, transport.Callers{})
		}
	} else {
		public, err = p.config.SecurityClients.Listen(p.config.Listen, beneath...)
		if errors.Is(err, transport.ErrExposed) {
			err = fmt.Errorf("%w; for the clients' port alone it is --insecure-clients", err)
		}
		if err == nil {
			admin, err = p.config.Security.Listen(p.config.AdminListen)
		}
	}
	if err != nil && public != nil {
		err = errors.Join(err, public.Close())
	}
	return public, admin, err
}

// Sockets copies the listening sockets for an heir, and leaves the ring on disk to it: Yield, or Keep, must follow.
func (p *Proxy) Sockets() (clients, admin *os.File, err error) {
	if clients, err = transport.Socket(p.public); err != nil {
		return nil, nil, err
	}
	if admin, err = transport.Socket(p.adminDoor); err != nil {
		_ = clients.Close()
		return nil, nil, err
	}
	p.routes.LeaveDisk()
	return clients, admin, nil
}

// Keep goes on as before: there is no heir after all.
func (p *Proxy) Keep() { p.routes.KeepDisk() }

// Yield leaves the place to an heir that serves already on the copied sockets. This proxy is not heard of any more,
// so that the fleet sees one and the same; Close then accepts nobody else, leaves who is at the door to
// the heir, and finishes what is under way.
func (p *Proxy) Yield() {
	p.yielded.Store(true)
	p.stopBeats()
}

// adminGrace is how long those who have connected to the admin port of a proxy that has an heir may take to ask.
const adminGrace = time.Second

// closeYielded is the drain of a proxy that has an heir. The admin port is the heir's at once, too.
func (p *Proxy) closeYielded(ctx context.Context) error {
	stop := context.AfterFunc(ctx, p.force)
	defer stop()
	defer p.tunnels.dismissBefore(ctx)()
	var shut error
	var shutting sync.WaitGroup
	shutting.Go(func() { shut = p.yieldAdmin(ctx) })
	err := p.server.Yield(ctx)
	shutting.Wait()
	return errors.Join(err, shut)
}

// yieldAdmin answers who has connected, before it shuts the server down: that drops requests which it reads from then on.
func (p *Proxy) yieldAdmin(ctx context.Context) error {
	_ = p.adminDoor.Close() // it is the copy of this process
	within, cancel := context.WithTimeout(ctx, adminGrace)
	defer cancel()
	select {
	case <-p.asking.none():
	case <-within.Done():
	}
	if err := p.admin.Shutdown(ctx); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// asking are connections on which a request is under way, or the first is yet to come.
type asking struct {
	mu      sync.Mutex
	conns   map[net.Conn]struct{}
	emptied chan struct{} // closed when there are none; nil until somebody wants to know
}

// note is told of every connection's state.
func (a *asking) note(conn net.Conn, state http.ConnState) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if state == http.StateNew || state == http.StateActive {
		if a.conns == nil {
			a.conns = make(map[net.Conn]struct{})
		}
		a.conns[conn] = struct{}{}
		return
	}
	delete(a.conns, conn)
	if len(a.conns) == 0 && a.emptied != nil {
		close(a.emptied)
		a.emptied = nil
	}
}

// none is closed once there are none.
func (a *asking) none() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	emptied := make(chan struct{})
	if len(a.conns) == 0 {
		close(emptied)
	} else {
		a.emptied = emptied
	}
	return emptied
}
