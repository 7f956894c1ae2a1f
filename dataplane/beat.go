package dataplane

import (
	"context"
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
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	beat := api.ProxyBeat{
		Address: p.config.Advertise,
		Admin:   p.adminAddress,
		Nack:    p.routes.Nack(),
		Leaving: p.leaving.Load(),
	}
	if beat.Address == "" {
		beat.Address = p.address
	}
	if table := p.routes.Table(); table != nil {
		beat.Version = table.View.Table.Version
	}
	_, err := p.control.ProxyBeat(ctx, p.config.ID, beat)
	return err
}
