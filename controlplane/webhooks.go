package controlplane

import (
	"context"
	"sync"
	"time"

	"github.com/stead-io/stead/controlplane/fsm"
	"github.com/stead-io/stead/controlplane/webhooks"
)

// openWebhooks makes the webhooks of this member; they deliver while it leads.
func (m *Member) openWebhooks() (err error) {
	m.webhooks, err = webhooks.New(webhooks.Config{
		URLs: m.config.Webhooks, Key: m.config.WebhookKey, Log: deliveryLog{m}, Logger: m.logger,
	})
	return err
}

// startWebhooks delivers beside the leader's other duties until the function it returns is called, which
// waits for the end of what is under way.
func (m *Member) startWebhooks(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	m.webhooks.Resume()
	running.Go(func() { m.webhooks.Run(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

// Alarms are conditions of this member that want a person.
func (m *Member) Alarms(now time.Time) []string {
	return append(m.webhooks.Alarms(now), m.snapshotAlarms()...)
}

// deliveryLog is the replicated state as webhooks need it.
type deliveryLog struct{ *Member }

// Delivered implements webhooks.Log.
func (d deliveryLog) Delivered(ctx context.Context, place fsm.Delivered) error {
	_, err := d.Propose(ctx, bySystem, place)
	return err
}
