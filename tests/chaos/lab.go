//go:build chaos

package chaos

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/stead-io/stead/api/client"
)

// The cluster's shape.
var labFleet = Fleet{
	Members: []string{"c1", "c2", "c3"},
	Proxies: []string{"p1", "p2"},
	Nodes:   []string{"n1", "n2", "n3", "n4", "n5"},
	Small:   "n5",
}

// Ports, the same on every process: each has an address of its own.
const (
	controlPort = "7400"
	raftPort    = "7401"
	proxyPort   = "7402"
	adminPort   = "7403"
	nodePort    = "7500"
)

// Lab is the cluster, its network and its disks.
type Lab struct {
	config    Config
	log       *log.Logger
	counts    *counts
	fleet     Fleet
	network   *Network
	disk      *SmallDisk
	processes map[string]*Process
	client    *client.Client
	probe     *http.Client

	stop     context.CancelFunc
	keepers  sync.WaitGroup
	failure  error // the first of a keeper
	failOnce sync.Once
}

// OpenLab makes the network and the disks and starts every process. It does not wait until they serve.
func OpenLab(config Config, logger *log.Logger, counts *counts) (*Lab, error) {
	l := &Lab{config: config, log: logger, counts: counts, fleet: labFleet, processes: map[string]*Process{},
		probe: &http.Client{Timeout: probeTimeout, Transport: &http.Transport{DisableKeepAlives: true}}}
	if err := furnish(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(l.path("logs"), 0o700); err != nil {
		return nil, fmt.Errorf("cannot make folder of logs: %w", err)
	}
	var err error
	if l.network, err = NewNetwork(l.fleet.All()); err != nil {
		return nil, err
	}
	if l.disk, err = MountSmallDisk(l.path("small.img"), l.path(l.fleet.Small)); err != nil {
		return nil, err
	}
	if l.client, err = client.New(client.Config{Members: l.members(), Actor: "chaos"}); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	for _, name := range l.fleet.All() {
		l.keep(ctx, name)
	}
	return l, nil
}

// probeTimeout bounds one question whether a process serves.
const probeTimeout = time.Second

func (l *Lab) keep(ctx context.Context, name string) {
	process := NewProcess(name, l.path("logs", name+".log"), l.exited, l.command(name)...)
	l.processes[name] = process
	process.Start()
	l.keepers.Go(func() {
		if err := process.Keep(ctx); err != nil {
			l.failOnce.Do(func() { l.failure = err })
			l.stop()
		}
	})
}

func (l *Lab) exited(name, how string) {
	l.log.Printf("%s ended by itself: %s", name, how)
	l.counts.do(func(t *Tally) { t.Exits[name+" "+how]++ })
}

// Close kills every process.
func (l *Lab) Close() error {
	l.stop()
	l.keepers.Wait()
	l.client.Close()
	return errors.Join(l.failure, l.disk.Unmount())
}

func (l *Lab) path(elements ...string) string {
	return filepath.Join(append([]string{l.config.Folder}, elements...)...)
}

func (l *Lab) members() (addresses []string) {
	for _, name := range l.fleet.Members {
		addresses = append(addresses, l.at(name, controlPort))
	}
	return addresses
}

func (l *Lab) at(name, port string) string { return l.network.Address(name) + ":" + port }

// command is how a process is started.
func (l *Lab) command(name string) []string {
	members := strings.Join(l.members(), ",")
	common := []string{"--insecure", "--data-dir", l.path(name)}
	switch name[0] {
	case 'c':
		return append([]string{l.config.Binary, "control", "--name", name, "--listen", l.at(name, controlPort),
			"--raft-listen", l.at(name, raftPort), "--join", members, "--expect", fmt.Sprint(len(l.fleet.Members)),
			"--state", l.config.State, "--replicas", fmt.Sprint(l.config.Replicas), "--slots", fmt.Sprint(l.config.Slots),
			"--plan-delay", "500ms"}, common...)
	case 'p':
		return append([]string{l.config.Binary, "proxy", "--id", name, "--listen", l.at(name, proxyPort),
			"--admin-listen", l.at(name, adminPort), "--control", members}, common...)
	default:
		return append([]string{l.config.NodeBinary, "node", "--id", name, "--listen", l.at(name, nodePort),
			"--control", members,
			"--log-bytes", fmt.Sprint(l.config.Slots * logBytesPerSlot)}, common...)
	}
}

// logBytesPerSlot is little, so that who joins or was away needs a copy as often as the log.
const logBytesPerSlot = 2 << 10

// ready reports whether a process says that it serves.
func (l *Lab) ready(ctx context.Context, name string) bool {
	port := map[byte]string{'c': controlPort, 'p': adminPort, 'n': nodePort}[name[0]]
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.at(name, port)+"/readyz", nil)
	if err != nil {
		return false
	}
	response, err := l.probe.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// patience is how long the cluster may take to recover from anything.
const patience = 2 * time.Minute

// pollEvery is the time between two looks at something that is waited for.
const pollEvery = 100 * time.Millisecond

// await polls until reached says so, for at most patience.
func await(ctx context.Context, what string, reached func(context.Context) bool) error {
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for !reached(within) {
		select {
		case <-ticker.C:
		case <-within.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("%w: waited %v in vain for %s", ErrNotHealed, patience, what)
		}
	}
	return nil
}

// ErrNotHealed says that the cluster did not recover although nothing was in its way.
var ErrNotHealed = errors.New("the cluster does not recover")

// awaitReady waits until processes serve.
func (l *Lab) awaitReady(ctx context.Context, names ...string) error {
	for _, name := range names {
		if err := await(ctx, name+" to be ready", func(ctx context.Context) bool { return l.ready(ctx, name) }); err != nil {
			return err
		}
	}
	return nil
}
