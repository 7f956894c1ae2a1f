package nodesvc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/stead-io/stead/api"
)

// Limits of what a node asks of the control plane to be a member.
const (
	registerTimeout  = 5 * time.Second // one try
	reportTimeout    = 10 * time.Second
	registerPauseMin = 100 * time.Millisecond
	registerPauseMax = 2 * time.Second
	// takeoverGrace is added to twice the ttl: so long may a predecessor that died look alive.
	takeoverGrace = 5 * time.Second
)

// refusals are answers to a registration that the same registration will always get.
var refusals = []api.Code{
	api.CodeInvalid, api.CodeNodeIDInUse, api.CodeNodeRemoved, api.CodeAddressRefused, api.CodeStaleBoot,
	api.CodeServiceMismatch, api.CodeRingGeometry, api.CodeUnsupported, api.CodeWrongCluster,
	api.CodeForbidden,
}

// takeovers are answers that end once a predecessor counts as down, unless it really lives.
var takeovers = []api.Code{api.CodeNodeAlive, api.CodeAddressInUse}

var errStopped = errors.New("the node is leaving")

// belong keeps the node a member: registered, and beating, until it leaves or fails. It waits for
// the ring first, because a store must never register with a cluster that is not its own, and for its slots.
func (n *Node) belong(ctx context.Context) {
	conditions := []<-chan struct{}{n.live, n.health.well}
	if n.config.Service != nil {
		conditions = append(conditions, n.keeping)
	}
	for _, condition := range conditions {
		select {
		case <-condition:
		case <-n.leaving:
			return
		case <-n.failed:
			return
		case <-ctx.Done():
			return
		}
	}
	for {
		registered, err := n.register(ctx)
		if errors.Is(err, errStopped) {
			return
		}
		if err != nil {
			n.fail(err)
			return
		}
		if err := n.report(ctx, registered); err != nil {
			continue
		}
		if opened := n.keeper.Load(); opened != nil && opened.state != api.StateNone {
			opened.engine.Registered(registered.Cursor)
		}
		n.logger.Info("registered", "session", registered.Session, "version", registered.Version, "note", registered.Note)
		if err := n.beatOn(ctx, registered); errors.Is(err, errStopped) {
			return
		}
		if err := n.pause(ctx, registerPause(0)); err != nil {
			return
		}
	}
}

// register tries until the control plane takes the node, refuses it for good, or the node leaves.
func (n *Node) register(ctx context.Context) (api.Registered, error) {
	registration := n.registration
	view := n.View()
	registration.Reports = true
	if opened := n.keeper.Load(); opened != nil && opened.state != api.StateNone {
		registration.State = opened.state
	}
	registration.Cluster, registration.SlotBits = view.Table.Cluster, view.Settings.SlotBits
	began := time.Now()
	for attempt := 0; ; attempt++ {
		bounded, cancel := context.WithTimeout(ctx, registerTimeout)
		registered, err := n.control.Register(bounded, registration)
		cancel()
		if err == nil {
			n.stats.registrations.Add(1)
			n.registered.Store(&registered)
			return registered, nil
		}
		if refusesReports(err) {
			registration.Reports = false
			continue
		}
		if n.refused(err, time.Since(began)) {
			return api.Registered{}, fmt.Errorf("cannot join as node %s: %w", n.config.ID, err)
		}
		n.logRepeated("registration failed, trying on", attempt, err)
		if err := n.pause(ctx, registerPause(attempt)); err != nil {
			return api.Registered{}, err
		}
	}
}

// refused reports whether trying again is futile. A node that takes over from one that died has to
// see it go down first.
func (n *Node) refused(err error, tried time.Duration) bool {
	code := api.CodeOf(err)
	if slices.Contains(takeovers, code) || code == api.CodeNodeIDInUse && n.config.Replace {
		return tried > 2*n.config.TTL+takeoverGrace
	}
	return slices.Contains(refusals, code)
}

// logRepeated warns of the first failure in a row; the others are for debugging.
func (n *Node) logRepeated(message string, earlier int, err error) {
	level := slog.LevelDebug
	if earlier == 0 {
		level = slog.LevelWarn
	}
	n.logger.Log(context.Background(), level, message, "error", err)
}

// registerPause is exponential with full jitter above the minimum.
func registerPause(attempt int) time.Duration {
	ceiling := min(registerPauseMin<<min(attempt, 10), registerPauseMax)
	return registerPauseMin/2 + rand.N(ceiling)
}

// beatOn beats under one registration until the control plane no longer knows it (nil) or the node
// leaves (errStopped). A beat that got no answer is followed by the next one, on time.
func (n *Node) beatOn(ctx context.Context, registered api.Registered) error {
	every := time.Duration(registered.BeatEvery)
	if every <= 0 {
		every = api.NodeBeatInterval
	}
	ticker := time.NewTicker(min(every, n.config.TTL/2))
	defer ticker.Stop()
	failures := 0
	for {
		err := n.beat(ctx, registered.Session)
		switch {
		case lostMembership(err):
			n.logger.Warn("membership lost, registering again", "error", err)
			return nil
		case err != nil:
			n.logRepeated("beat failed", failures, err)
			failures++
		case failures > 0:
			n.logger.Info("beats again", "failures", failures)
			failures = 0
		}
		if err := n.awaitTick(ctx, ticker.C); err != nil {
			return err
		}
	}
}

// refusesReports recognises a control plane of before reports: the node registers without the offer.
func refusesReports(err error) bool {
	var problem *api.Problem
	return errors.As(err, &problem) && problem.Code == api.CodeInvalid && problem.Field == "reports"
}

// report says what the node acted on before this generation, if the control plane asks: its state was
// restored, and the slots it gave this node since are known here alone. Without an answer the node
// registers again.
func (n *Node) report(ctx context.Context, registered api.Registered) error {
	generation := registered.Version.Generation
	opened := n.keeper.Load()
	var former []api.SlotConfig
	if replicates := opened != nil && opened.state != api.StateNone; replicates {
		former = opened.engine.Former(generation)
	}
	if registered.Report {
		bounded, cancel := context.WithTimeout(ctx, reportTimeout)
		defer cancel()
		if err := n.tell(bounded, registered, former); err != nil {
			n.logger.Warn("report failed, registering again", "error", err)
			return errors.Join(err, n.pause(ctx, registerPause(0)))
		}
		n.logger.Info("reported", "generation", generation, "slots", len(former))
	}
	n.ring.reported(generation)
	return nil
}

// tell reports slots where the node keeps some with others, else the ring.
func (n *Node) tell(ctx context.Context, registered api.Registered, former []api.SlotConfig) error {
	if opened := n.keeper.Load(); opened == nil || opened.state == api.StateNone {
		view := n.ring.current.Load().before(registered.Version.Generation)
		return n.control.Report(ctx, n.config.ID, registered.Session, view)
	}
	return n.control.ReportSlots(ctx, n.config.ID, api.SlotReport{Session: registered.Session, Slots: former})
}

func lostMembership(err error) bool {
	code := api.CodeOf(err)
	return code == api.CodeNodeUnknown || code == api.CodeUnknownSession
}

// beat says that the node lives, or why its service does not want requests.
func (n *Node) beat(ctx context.Context, session api.SessionID) error {
	ctx, cancel := context.WithTimeout(ctx, n.config.TTL)
	defer cancel()
	beat := api.Beat{Session: session, Load: &api.Load{Requests: n.stats.served.Load()}}
	if opened := n.keeper.Load(); opened != nil {
		moves := opened.engine.Moves()
		beat.Moves = &moves
	}
	if ailment := n.ailment(time.Now()); ailment != "" {
		beat.Unhealthy = api.Clip(ailment)
	}
	if _, err := n.control.Beat(ctx, n.config.ID, beat); err != nil {
		n.stats.beatFailures.Add(1)
		return err
	}
	n.stats.beats.Add(1)
	if beat.Unhealthy != "" {
		return fmt.Errorf("the node is not well: %s", beat.Unhealthy)
	}
	return nil
}

func (n *Node) pause(ctx context.Context, duration time.Duration) error {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	return n.awaitTick(ctx, timer.C)
}

func (n *Node) awaitTick(ctx context.Context, tick <-chan time.Time) error {
	select {
	case <-tick:
	case <-n.reborn: // whatever is waited for, there is news to act on
	case <-n.leaving:
		return errStopped
	case <-n.failed:
		return errStopped
	case <-ctx.Done():
		return errStopped
	}
	return nil
}
