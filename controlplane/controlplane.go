package controlplane

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/durable"
	"github.com/stead-io/stead/controlplane/consensus"
	"github.com/stead-io/stead/controlplane/dns"
	"github.com/stead-io/stead/controlplane/fsm"
	"github.com/stead-io/stead/controlplane/httpapi"
	"github.com/stead-io/stead/controlplane/peers"
	"github.com/stead-io/stead/controlplane/webhooks"
)

const (
	decideEvery     = 50 * time.Millisecond
	waitingLogEvery = 5 * time.Second
	idleConnections = 64
	memberTimeout   = 10 * time.Second
	// drainTimeout is how long running requests may take to finish when the member stops.
	drainTimeout = 5 * time.Second
)

// Member is a running control-plane member.
type Member struct {
	config    Config
	logger    *slog.Logger
	identity  *peers.Identity
	lock      *durable.Lock
	directory *peers.Directory
	machine   *machine
	roster    *rosterBoard
	server    *httpapi.Server
	dns       *dns.Server // nil: this member answers none
	webhooks  *webhooks.Webhooks
	http      *http.Client

	apiListener  net.Listener
	raftListener net.Listener
	replica      atomic.Pointer[consensus.Replica] // nil until the cluster stands
	kept         atomic.Bool                       // it is on disk that this member has a log
	schedule     schedule
	duties       duties
	lastLed      atomic.Int64 // when this member last led, nanoseconds

	// turn is held for reading while a command is proposed, and whole by who must not be overtaken.
	turn sync.RWMutex

	stop context.CancelFunc
	done chan struct{} // closed when the member cannot go on, or was closed
	all  sync.WaitGroup

	failOnce sync.Once
	err      error
}

// Open starts a member. It serves its API at once; Raft follows as soon as the founding members have
// found each other, or the cluster that there is has taken this one in.
func Open(config Config) (*Member, error) {
	if config.Expect == 0 {
		config.Expect = expected(config)
	}
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("cannot open the control plane: %w", err)
	}
	lock, err := durable.LockFolder(config.DataDir)
	if err != nil {
		return nil, fmt.Errorf("cannot open the control plane: %w", err)
	}
	m := &Member{config: config, logger: config.Logger.With("member", config.Name), lock: lock, done: make(chan struct{})}
	m.duties.wake = make(chan struct{}, 1)
	if err := m.open(); err != nil {
		m.closeListeners()
		_ = lock.Unlock()
		return nil, fmt.Errorf("cannot open the control plane: %w", err)
	}
	return m, nil
}

// expected is the number of members when the flags do not say: those in Join, and this one.
func expected(config Config) int {
	others := 0
	for _, address := range config.Join {
		if address != config.Listen && address != config.Advertise {
			others++
		}
	}
	return others + 1
}

func (m *Member) open() error {
	hasState, err := m.identify()
	if err != nil {
		return err
	}
	if err := m.listen(); err != nil {
		return err
	}
	m.machine, m.roster = newMachine(m.fail), newRosterBoard()
	m.http = &http.Client{
		Timeout:   memberTimeout,
		Transport: m.memberTransport(),
		// Members are asked where they are; nobody may send the question elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if err := m.openDNS(); err != nil {
		return err
	}
	m.directory = peers.OpenDirectory(m.config.DataDir, m.selfInfo(hasState), m.describe)
	if err := m.openWebhooks(); err != nil {
		return err
	}
	m.server = httpapi.New(m.apiConfig())
	m.run(hasState)
	return nil
}

// identify reads who this member is and whether it has a log. One without the other was lost: started
// all the same, it could help to elect a leader that lacks what it had once acknowledged.
func (m *Member) identify() (hasState bool, err error) {
	folder := m.config.DataDir
	if consensus.HasDatabase(folder) && !peers.HasIdentity(folder) {
		return false, fmt.Errorf("%s holds a Raft log and no member.json: it is not known whose log it is", folder)
	}
	if m.identity, err = peers.LoadIdentity(folder, m.config.Name); err != nil {
		return false, err
	}
	if hasState, err = consensus.HasState(folder, m.logger); err != nil {
		return false, fmt.Errorf("%w; member %s must be replaced, or started with a whole copy of its folder", err, m.config.Name)
	}
	if m.identity.Joined && !hasState {
		return false, fmt.Errorf("member %s has lost its Raft log in %s; it must be replaced, not restarted", m.config.Name, folder)
	}
	return hasState, nil
}

// run starts the member's goroutines (docs/goroutines.md lists them); Close stops and awaits them.
func (m *Member) run(hasState bool) {
	ctx, cancel := context.WithCancel(context.Background())
	m.stop = cancel
	exchange := &peers.Exchange{
		Directory: m.directory, Join: m.config.Join, Scheme: m.config.Security.Scheme(), HTTP: m.http, Logger: m.logger,
		Settled: func() bool { return m.State().Cluster != "" },
		Fatal:   m.fail,
	}
	m.all.Go(func() { exchange.Run(ctx) })
	m.all.Go(func() { m.server.Run(ctx) })
	m.all.Go(func() { m.server.FollowRoster(ctx) })
	if m.dns != nil {
		m.all.Go(func() { m.dns.Run(ctx) })
	}
	m.all.Go(func() {
		if err := m.server.HTTP().Serve(m.apiListener); !errors.Is(err, http.ErrServerClosed) {
			m.fail(fmt.Errorf("cannot serve the control API: %w", err))
		}
	})
	m.all.Go(func() { m.takePart(ctx, hasState) })
	if m.config.SnapshotDir != "" {
		m.all.Go(func() { m.saveSnapshots(ctx) })
	}
}

func (m *Member) selfInfo(hasState bool) api.PeerInfo {
	return api.PeerInfo{
		ID: m.identity.ID(), Name: m.config.Name, Boot: m.identity.Boot,
		API:      m.config.Security.Scheme() + "://" + m.config.advertised(m.APIAddr()),
		Raft:     firstOf(m.config.RaftAdvertise, m.RaftAddr()),
		DNS:      m.dnsHost(),
		HasState: hasState, Expect: m.config.Expect, Level: fsm.LevelSupported,
		Bootstrap: fingerprint(m.config.Settings),
	}
}

func firstOf(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

// fingerprint tells founding settings apart.
func fingerprint(settings api.Settings) string {
	raw, _ := json.Marshal(settings) // plain strings and numbers: cannot fail
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:8])
}

// takePart opens Raft when the time has come, and then does the leader's duties whenever it leads.
func (m *Member) takePart(ctx context.Context, hasState bool) {
	decision := peers.Decision{}
	if !hasState {
		var started bool
		if decision, started = m.awaitListing(ctx); !started {
			return
		}
	}
	replica, err := m.openReplica(decision)
	if err != nil {
		m.fail(err)
		return
	}
	m.replica.Store(replica)
	var heeding sync.WaitGroup
	heeding.Go(func() { m.heed(ctx, replica) })
	m.reignWheneverElected(ctx, replica)
	heeding.Wait()
	if err := replica.Close(); err != nil {
		m.logger.Warn("Raft did not stop cleanly", "error", err)
	}
}

// openReplica opens Raft. A founder has its log from the start; a nonvoter gets it from the leader, and
// until then there is nothing whose loss would matter.
func (m *Member) openReplica(decision peers.Decision) (*consensus.Replica, error) {
	const foundedAt = 1 // the index of the founding configuration
	if err := m.identity.MarkListed(max(foundedAt, decision.Configured)); err != nil {
		return nil, err
	}
	replica, err := consensus.Open(consensus.Config{
		ID: m.identity.ID(), DataDir: m.config.DataDir, Listener: m.raftListener,
		Dial: m.dialMember, Resolve: m.directory.RaftAddress,
		Machine: m.machine, Logger: m.logger,
		SnapshotInterval: m.config.SnapshotInterval, SnapshotThreshold: m.config.SnapshotThreshold,
		TrailingLogs: m.config.TrailingLogs,
	}, decision.Founders)
	if err != nil || decision.Nonvoter {
		return replica, err
	}
	if err := m.identity.MarkJoined(); err != nil {
		return nil, errors.Join(err, replica.Close())
	}
	m.kept.Store(true)
	return replica, nil
}

// describe fills in what this member tells the others of itself that changes as it runs.
func (m *Member) describe(self *api.PeerInfo) {
	replica := m.replica.Load()
	if replica == nil {
		return
	}
	state, committed := m.State(), replica.Committed()
	self.HasState, self.Applied = m.kept.Load(), state.Index
	self.Cluster, self.Generation = state.Cluster, state.Generation
	self.Configured = committed.Index
	servers := committed.Servers
	if committed.Index == 0 {
		servers, _ = replica.Servers() // none when Raft is stopping
	}
	self.Members, self.Nonvoters, self.Awaits = nil, nil, nil
	for _, server := range servers {
		self.Members = append(self.Members, server.ID)
		if !server.Voter {
			self.Nonvoters = append(self.Nonvoters, server.ID)
		}
	}
	for _, asked := range state.Enlisted {
		self.Awaits = append(self.Awaits, asked.Name)
	}
}

// awaitListing waits until this member founds the cluster or is listed in it; false: it never will be.
func (m *Member) awaitListing(ctx context.Context) (decision peers.Decision, start bool) {
	lastLog, lastWaiting := time.Now(), ""
	for {
		decision := m.directory.Decide(time.Now(), m.identity.Newcomer)
		if decision.Newcomer && decision.Refusal == nil {
			if err := m.identity.MarkNewcomer(); err != nil {
				decision.Refusal = api.NewProblem(api.CodeInternal, "%v", err)
			}
		}
		switch {
		case decision.Refusal != nil:
			m.fail(decision.Refusal)
			return decision, false
		case decision.Start:
			return decision, true
		case time.Since(lastLog) > waitingLogEvery, decision.Newcomer && decision.Waiting != lastWaiting:
			m.logger.Info("waiting to take part", "for", decision.Waiting)
			lastLog, lastWaiting = time.Now(), decision.Waiting
		}
		select {
		case <-ctx.Done():
			return decision, false
		case <-time.After(decideEvery):
		}
	}
}

// APIAddr and RaftAddr are the addresses bound.
func (m *Member) APIAddr() string  { return m.apiListener.Addr().String() }
func (m *Member) RaftAddr() string { return m.raftListener.Addr().String() }

// Done is closed when the member cannot go on; Err then says why.
func (m *Member) Done() <-chan struct{} { return m.done }

// Err is why the member stopped by itself, nil if it did not.
func (m *Member) Err() error {
	select {
	case <-m.done:
		return m.err
	default:
		return nil
	}
}

func (m *Member) fail(err error) {
	m.failOnce.Do(func() {
		m.err = err
		close(m.done)
	})
}

// Close stops the member: polls end, running requests finish as long as ctx allows, leadership is
// given away, and every goroutine has ended when it returns.
func (m *Member) Close(ctx context.Context) error {
	m.stop()
	gentle, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	err := m.server.HTTP().Shutdown(gentle)
	if errors.Is(err, context.DeadlineExceeded) {
		m.logger.Warn("breaking off requests that do not end")
		err = m.server.HTTP().Close()
	}
	m.all.Wait()
	m.closeListeners()
	m.http.CloseIdleConnections()
	m.fail(nil)
	return errors.Join(err, m.lock.Unlock())
}

func (m *Member) closeListeners() {
	for _, listener := range []net.Listener{m.apiListener, m.raftListener} {
		if listener != nil {
			_ = listener.Close() // the servers on them have closed them already, mostly
		}
	}
	if m.dns != nil {
		m.dns.Close()
	}
}
