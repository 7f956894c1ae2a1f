package dataplane

import (
	"context"
	"net"
	"time"

	"github.com/stead-io/stead/api"
)

// beatTimeout bounds one beat: the next one waits for it, so that beats never pile up.
const beatTimeout = 500 * time.Millisecond

// beat tells the control plane that the proxy is there, until the context ends.
func (p *Proxy) beat(ctx context.Context) {
	ticker := time.NewTicker(api.ProxyBeatInterval)
	defer ticker.Stop()
	silent := false
	for {
		err := p.beatOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		if failed := err != nil; failed != silent {
			silent = failed
			if failed {
				p.logger.Warn("the control plane does not hear this proxy", "error", err)
			} else {
				p.logger.Info("the control plane hears this proxy")
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// beatLeaving says at once that the proxy leaves, so that no more clients are sent here. If nobody
// hears, the drain goes on all the same.
func (p *Proxy) beatLeaving(ctx context.Context) {
	if err := p.beatOnce(ctx); err != nil {
		p.logger.Warn("cannot tell the control plane that this proxy leaves", "error", err)
	}
}

func (p *Proxy) beatOnce(ctx context.Context) error {
	p.beating.Lock()
	defer p.beating.Unlock()
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	beat := api.ProxyBeat{
		Address: p.advertised(),
		Admin:   p.adminAdvertised(),
		Nack:    p.routes.Nack(),
		Leaving: p.leaving.Load(),

		Troubles: p.troubles.recent(time.Now(), p.circuits.givenUp()),
	}
	if table := p.routes.Table(); table != nil {
		beat.Version = table.View.Table.Version
	}
	_, err := p.control.ProxyBeat(ctx, p.config.ID, beat)
	return err
}

func (p *Proxy) advertised() string {
	if p.config.Advertise != "" {
		return p.config.Advertise
	}
	return p.address
}

// adminAdvertised is where the admin port is reached: if it listens everywhere, at the host that
// clients are told.
func (p *Proxy) adminAdvertised() string {
	host, port, err := net.SplitHostPort(p.adminAddress)
	if err != nil || !net.ParseIP(host).IsUnspecified() {
		return p.adminAddress
	}
	if public, _, err := net.SplitHostPort(p.advertised()); err == nil {
		host = public
	}
	return net.JoinHostPort(host, port)
}
